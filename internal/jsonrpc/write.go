package jsonrpc

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

// RequestHead is what a request says besides its params. The zero value of a
// field leaves its member out, but for ID and Method.
type RequestHead struct {
	// ID is written as a number, unless Notify is set.
	ID uint64
	// Notify makes the request a notification: no id, no reply.
	Notify bool
	// Method is the full name, "tea.brew".
	Method string
	// TimeoutMS is the time in milliseconds that is left. Nothing is written
	// unless it is positive.
	TimeoutMS int64
	// Key is the idempotency key.
	Key string
	// Attempt counts from 1.
	Attempt int
	// Window is how many partial replies may be unread.
	Window int
	// TraceParent is the traceparent of W3C Trace Context.
	TraceParent string
	// TraceState is the tracestate of W3C Trace Context.
	TraceState string
	// Caller is the name that the caller goes by.
	Caller string
	// Strings are further members of meta, written in the order of their names.
	// Those that have the name of a member above are left out.
	Strings map[string]string
}

// AppendRequest appends a request or notification to dst and returns it. Meta is
// always written, and params, a JSON object or array that is taken as it is,
// comes last, so that [ScanHead] needn't read it. Nil params are left out.
func AppendRequest(dst []byte, h *RequestHead, params []byte) []byte {
	if len(params) == 0 {
		return append(h.append(dst), "}}"...)
	}
	dst = AppendRequestHead(dst, h)
	dst = append(dst, params...)
	return append(dst, Closing...)
}

// AppendRequestHead appends what comes before the params of a request to dst and returns
// it. What comes behind them is [Closing].
func AppendRequestHead(dst []byte, h *RequestHead) []byte {
	return append(h.append(dst), `},"params":`...)
}

// Closing is the end of a request that has params, and of a reply with a result.
const Closing = "}"

// append appends the request up to the last member of meta.
func (h *RequestHead) append(dst []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0",`...)
	if !h.Notify {
		dst = append(dst, `"id":`...)
		dst = strconv.AppendUint(dst, h.ID, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"method":`...)
	dst = AppendString(dst, h.Method)
	dst = append(dst, `,"meta":{`...)
	return h.appendMeta(dst)
}

// appendMeta appends the members of meta without the braces around them.
func (h *RequestHead) appendMeta(dst []byte) []byte {
	start := len(dst)
	if h.TimeoutMS > 0 {
		dst = append(dst, `"timeout_ms":`...)
		dst = strconv.AppendInt(dst, min(h.TimeoutMS, MaxTimeoutMS), 10)
		dst = append(dst, ',')
	}
	dst = appendText(dst, `"key":`, h.Key)
	dst = appendCount(dst, `"attempt":`, h.Attempt)
	dst = appendCount(dst, `"window":`, h.Window)
	dst = appendText(dst, `"traceparent":`, h.TraceParent)
	dst = appendText(dst, `"tracestate":`, h.TraceState)
	dst = appendText(dst, `"caller":`, h.Caller)
	if len(h.Strings) > 0 {
		dst = appendStrings(dst, h.Strings)
	}
	if len(dst) > start {
		dst = dst[:len(dst)-1] // the last comma
	}
	return dst
}

// appendText appends a string member and a comma, or nothing for "".
func appendText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	dst = AppendString(dst, value)
	return append(dst, ',')
}

// appendCount appends a number member and a comma, or nothing for 0 and below.
func appendCount(dst []byte, name string, value int) []byte {
	if value <= 0 {
		return dst
	}
	dst = append(dst, name...)
	dst = strconv.AppendInt(dst, int64(min(value, MaxCount)), 10)
	return append(dst, ',')
}

// appendStrings appends the free strings of meta, each with a comma.
func appendStrings(dst []byte, strings map[string]string) []byte {
	var room [8]string
	names := room[:0]
	for name := range strings {
		if metaMember([]byte(name)) == metaFree {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		dst = AppendString(dst, name)
		dst = append(dst, ':')
		dst = AppendString(dst, strings[name])
		dst = append(dst, ',')
	}
	return dst
}

// AppendResult appends a reply with a result to dst and returns it. The raw JSON
// of id and result is taken as it is; null stands for an empty one. The result
// comes last, so that [ScanHead] needn't read it.
func AppendResult(dst, id, result []byte) []byte {
	dst = appendRaw(AppendResultHead(dst, id), result)
	return append(dst, Closing...)
}

// AppendResultHead appends what comes before the result of a reply to dst and returns
// it. What comes behind it is [Closing].
func AppendResultHead(dst, id []byte) []byte {
	return append(appendReply(dst, id), `"result":`...)
}

// AppendFailure appends a reply with an error to dst and returns it. The raw
// JSON of id and data is taken as it is; null stands for an empty id, and empty
// data is left out.
func AppendFailure(dst, id []byte, code int, message string, data []byte) []byte {
	dst = appendReply(dst, id)
	dst = append(dst, `"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, message)
	if len(data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, data...)
	}
	return append(dst, "}}"...)
}

// appendReply appends what every reply begins with.
func appendReply(dst, id []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = appendRaw(dst, id)
	return append(dst, ',')
}

// appendRaw appends raw JSON, or null where there is none.
func appendRaw(dst, raw []byte) []byte {
	if len(raw) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, raw...)
}

// ReplaceID appends body to dst with the raw JSON of id, or null where that is
// empty, in the place of its own, and returns it. e must have been scanned from
// body. A body without an id is appended as it is.
func ReplaceID(dst, body []byte, e *Envelope, id []byte) []byte {
	if e.ID == nil {
		return append(dst, body...)
	}
	dst = append(dst, body[:e.idAt]...)
	dst = appendRaw(dst, id)
	return append(dst, body[e.idAt+len(e.ID):]...)
}

// AppendString appends s to dst as a JSON string and returns it. What must be
// escaped is, and bytes that aren't UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0 // what of s was appended
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			if c >= ' ' && c != '"' && c != '\\' {
				continue
			}
			dst = append(dst, s[done:i-1]...)
			dst = appendEscape(dst, c)
			done = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[done:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			done = i + size
		}
		i += size
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

// appendEscape appends the escape of a quote, a backslash or a control character.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	default:
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
	}
}
