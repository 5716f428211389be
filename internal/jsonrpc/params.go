package jsonrpc

import "errors"

// ReadParams returns raw, without the white space around it, as the params of a
// request: an object or an array, or nil where raw is nil or null. Otherwise it
// says what is wrong with raw, which a reader of the whole body would take as the
// fault of the request.
func ReadParams(raw []byte) (params []byte, err error) {
	if raw == nil {
		return nil, nil
	}
	i := skipSpace(raw, 0)
	if i == len(raw) {
		return nil, errors.New("they are empty")
	}
	end, reason := skipValue(raw, i, 1)
	if reason == "" && skipSpace(raw, end) != len(raw) {
		reason = reasonTrailing
	}
	switch {
	case reason != "":
		return nil, errors.New(reason)
	case raw[i] == 'n':
		return nil, nil
	case !isContainer(raw[i]):
		return nil, errors.New(reasonParams)
	}
	return raw[i:end:end], nil
}
