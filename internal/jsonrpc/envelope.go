package jsonrpc

import "bytes"

// Kind says what a body is.
type Kind uint8

// The kinds of bodies.
const (
	Opaque       Kind = iota // no envelope; [Envelope.Reason] says why
	Request                  // a method with an id
	Notification             // a method without an id
	Result                   // a reply with a result
	Failure                  // a reply with an error
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Opaque:
		return "opaque"
	case Request:
		return "request"
	case Notification:
		return "notification"
	case Result:
		return "result"
	case Failure:
		return "failure"
	default:
		return "unknown"
	}
}

// Envelope is what [Scan] or [ScanHead] read from a body. Its slices point into
// the body, with their capacity clipped, except for strings that were written
// with escapes. Where Kind is [Opaque], everything but Reason and Complete is
// as if absent.
type Envelope struct {
	// ID is the raw JSON of the id: a string, a number or null. Nil where there
	// is none.
	ID []byte
	// Method is the method's full name, decoded. Nil in replies.
	Method []byte
	// Params is the raw JSON object or array of the parameters. Nil where absent
	// or where ScanHead stopped before it.
	Params []byte
	// Result is the raw JSON of a result. Nil where absent or where ScanHead
	// stopped before it.
	Result []byte
	// Error is the raw JSON object of a failure, for [ParseError]. Nil where
	// absent.
	Error []byte
	// Meta is the extension member meta.
	Meta Meta
	// Reason says why a body is opaque, in one of a fixed set of phrases that
	// hold nothing of the body. Empty for the other kinds.
	Reason string

	idAt int // where ID begins in the body

	// Kind says what the body is.
	Kind Kind
	// Ambiguous reports that a member's name differs from "method" in nothing but
	// case: a reader that ignores case may take it for the method.
	Ambiguous bool
	// Complete reports that nothing is left unread that could change the
	// verdict. It is false only where ScanHead stopped at the payload.
	Complete bool
}

// Meta is the extension member meta of an envelope.
type Meta struct {
	// Key is the caller's idempotency key, decoded. Nil where absent.
	Key []byte
	// TraceParent is the traceparent of W3C Trace Context, decoded but not
	// checked. Nil where absent.
	TraceParent []byte
	// TraceState is the tracestate of W3C Trace Context, decoded but not
	// checked. Nil where absent.
	TraceState []byte
	// Caller is who the caller claims to be, decoded. Nil where absent.
	Caller []byte
	// Raw is the JSON object of meta itself. Nil where absent.
	Raw []byte
	// TimeoutMS is the time in milliseconds that was left to the request when
	// its client sent it, at most [MaxTimeoutMS]; -1 where absent.
	TimeoutMS int64
	// Attempt counts the client's attempts from 1; 0 where absent.
	Attempt int
	// Window is how many partial replies may be unread; -1 where absent.
	Window int
	// Present reports that the body has the member.
	Present bool
}

// Limits of what is read. A body beyond one is [Opaque].
const (
	// MaxDepth is how deep objects and arrays may nest, the envelope counted.
	MaxDepth = 10_000
	// MaxTimeoutMS is the largest timeout_ms in milliseconds, about 292 years:
	// the largest that fits a time.Duration.
	MaxTimeoutMS = (1<<63 - 1) / 1_000_000
	// MaxCount is the largest attempt or window.
	MaxCount = 1<<31 - 1
)

// SplitMethod splits a method's full name at its last dot: "tea.brew" is the
// method brew of the service tea. It reports false where there is no dot or
// nothing on one side of it.
func SplitMethod(method []byte) (service, name []byte, ok bool) {
	dot := bytes.LastIndexByte(method, '.')
	if dot <= 0 || dot == len(method)-1 {
		return nil, nil, false
	}
	return method[:dot:dot], method[dot+1:], true
}
