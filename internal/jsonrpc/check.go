package jsonrpc

import "errors"

// CheckValue says what is wrong with raw as one JSON value, which is to be put
// into an envelope as it is. Nothing at all is good: it stands for no value.
func CheckValue(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	_, _, err := value(raw)
	return err
}

// ReadParams returns raw, without the white space around it, as the params of a
// request: an object or an array, or nil where raw is nil or null. Otherwise it
// says what is wrong with raw, which a reader of the whole body would take as the
// fault of the request.
func ReadParams(raw []byte) (params []byte, err error) {
	if raw == nil {
		return nil, nil
	}
	begin, end, err := value(raw)
	switch {
	case err != nil:
		return nil, err
	case raw[begin] == 'n':
		return nil, nil
	case !isContainer(raw[begin]):
		return nil, errors.New(reasonParams)
	}
	return raw[begin:end:end], nil
}

// value returns where the one value in raw begins and ends, which is to be a
// member of an envelope.
func value(raw []byte) (begin, end int, err error) {
	begin = skipSpace(raw, 0)
	if begin == len(raw) {
		return 0, 0, errors.New("it is empty")
	}
	end, reason := skipValue(raw, begin, 1)
	if reason == "" && skipSpace(raw, end) != len(raw) {
		reason = reasonTrailing
	}
	if reason != "" {
		return 0, 0, errors.New(reason)
	}
	return begin, end, nil
}
