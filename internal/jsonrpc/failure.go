package jsonrpc

import (
	"errors"
	"strconv"
)

// What can be wrong with an error member.
var (
	errErrorObject    = errors.New("jsonrpc: error is not a JSON object")
	errErrorDuplicate = errors.New("jsonrpc: error has a duplicate member")
	errErrorNoCode    = errors.New("jsonrpc: error has no code")
	errErrorCode      = errors.New("jsonrpc: error.code is not an integer of 32 bits")
	errErrorMessage   = errors.New("jsonrpc: error.message is not a string")
)

// ParseError reads the raw JSON of an error member, such as [Envelope.Error]. The
// code is required and is an integer of 32 bits; a missing message is empty; data
// is raw JSON, a sub-slice of raw, nil where absent. Further members are ignored,
// and a duplicate of one of these three is an error.
func ParseError(raw []byte) (code int, message string, data []byte, err error) {
	if len(raw) == 0 || raw[0] != '{' {
		return 0, "", nil, errErrorObject
	}
	var codeRaw, messageRaw []byte
	i, done, reason := openObject(raw, 0)
	for !done && reason == "" {
		var name, value []byte
		if name, i, reason = readName(raw, i); reason != "" {
			break
		}
		if value, i, reason = readRaw(raw, i); reason != "" {
			break
		}
		var member *[]byte
		switch string(name) {
		case "code":
			member = &codeRaw
		case "message":
			member = &messageRaw
		case "data":
			member = &data
		default:
			member = new([]byte)
		}
		if *member != nil {
			return 0, "", nil, errErrorDuplicate
		}
		*member = value
		i, done, reason = nextMember(raw, i)
	}
	if reason != "" || skipSpace(raw, i) != len(raw) {
		return 0, "", nil, errErrorObject
	}
	if code, err = parseCode(codeRaw); err != nil {
		return 0, "", nil, err
	}
	if messageRaw == nil {
		return code, "", data, nil
	}
	decoded, _, reason := readString(messageRaw, 0, reasonSyntax)
	if reason != "" {
		return 0, "", nil, errErrorMessage
	}
	return code, string(decoded), data, nil
}

// parseCode reads the raw JSON of error.code.
func parseCode(raw []byte) (int, error) {
	if raw == nil {
		return 0, errErrorNoCode
	}
	code, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil {
		return 0, errErrorCode
	}
	return int(code), nil
}
