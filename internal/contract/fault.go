package contract

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	stdjson "encoding/json"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxPath bounds a fault's path, and maxMessage what a decoder's own words may
// add to its message, so that a fault stays small whatever the peer sent.
const (
	maxPath    = 1024
	maxMessage = 256
)

// Fault is one thing that is wrong with a document.
type Fault struct {
	// Path is a JSON Pointer (RFC 6901) to the value at fault; "" is the whole
	// document. Where a member is missing it points to where that should be.
	// A path above 1024 bytes is cut, and names a value around the one at fault.
	Path string `json:"path"`
	// Message says what is wrong, to follow the value's name: "must be at least
	// 1". It doesn't repeat the value.
	Message string `json:"message"`
}

// String returns the path and the message.
func (f Fault) String() string {
	if f.Path == "" {
		return f.Message
	}
	return f.Path + " " + f.Message
}

// DecodeFaults says what a codec's error from decoding means as faults: with
// its path where the codec gave one, as encoding/json and json/v2 do. It returns
// nil for a nil error.
func DecodeFaults(err error) []Fault {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(e, jsontext.ErrDuplicateName) {
			return []Fault{newFault(string(e.JSONPointer), messageDuplicate)}
		}
		return []Fault{newFault("", syntaxMessage(errorText(e.Err), int(e.ByteOffset)))}
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		return []Fault{newFault(string(e.JSONPointer), semanticMessage(e))}
	}
	if e, ok := errors.AsType[*stdjson.SyntaxError](err); ok {
		return []Fault{newFault("", syntaxMessage(e.Error(), int(e.Offset)))}
	}
	if e, ok := errors.AsType[*stdjson.UnmarshalTypeError](err); ok {
		var path []byte
		if e.Field != "" {
			for name := range strings.SplitSeq(e.Field, ".") {
				path = appendToken(path, name)
			}
		}
		return []Fault{newFault(string(path), "must not be a JSON "+e.Value+" here")}
	}
	return []Fault{newFault("", "can't be decoded: "+shorten(err.Error()))}
}

func semanticMessage(e *json.SemanticError) string {
	if form, ok := errors.AsType[formError](e.Err); ok {
		return string(form)
	}
	switch {
	case errors.Is(e.Err, strconv.ErrRange):
		return "is out of range"
	case errors.Is(e.Err, strconv.ErrSyntax):
		return "is not in the written form of its type"
	case e.Err != nil:
		return "can't be decoded: " + errorText(e.Err)
	}
	switch e.JSONKind {
	case 'n':
		return "must not be null here"
	case 't', 'f':
		return "must not be a boolean here"
	case '"':
		return "must not be a string here"
	case '0':
		return "must not be a number here"
	case '{', '}':
		return "must not be an object here"
	case '[', ']':
		return "must not be an array here"
	}
	return "can't be decoded"
}

func syntaxMessage(what string, offset int) string {
	return "is not valid JSON: " + what + " at byte " + strconv.Itoa(offset)
}

// newFault makes a fault from what another package said, whose paths may be of
// any length.
func newFault(path, message string) Fault {
	if len(path) > maxPath {
		path = path[:strings.LastIndexByte(path[:maxPath+1], '/')]
	}
	return Fault{Path: path, Message: message}
}

func errorText(err error) string {
	if err == nil {
		return "malformed"
	}
	return shorten(err.Error())
}

// shorten cuts text at the last whole character within maxMessage, and makes it
// valid UTF-8, as it may quote what a peer sent.
func shorten(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxMessage {
		return text
	}
	n := maxMessage
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

func atLeast(n int, what string) string { return "must have at least " + plural(n, what) }

func atMost(n int, what string) string { return "must have at most " + plural(n, what) }

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// appendToken adds one reference token to a JSON Pointer (RFC 6901, section 3).
func appendToken[T string | []byte](path []byte, token T) []byte {
	path = append(path, '/')
	for i := range len(token) {
		switch c := token[i]; c {
		case '~':
			path = append(path, "~0"...)
		case '/':
			path = append(path, "~1"...)
		default:
			path = append(path, c)
		}
	}
	return path
}
