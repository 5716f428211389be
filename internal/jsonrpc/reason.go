package jsonrpc

// Why a body is opaque, for [Envelope.Reason]. Constants, so that a peer's bytes
// never reach a log through them and telling why allocates nothing.
const (
	// The body isn't JSON as RFC 8259 has it.
	reasonEmpty     = "empty body"
	reasonTruncated = "truncated"
	reasonSyntax    = "syntax error"
	reasonNumber    = "malformed number"
	reasonControl   = "control character in a string"
	reasonEscape    = "invalid escape in a string"
	reasonUTF8      = "invalid UTF-8"
	reasonDepth     = "nested too deep"
	reasonTrailing  = "trailing data"

	// It is JSON, but no envelope.
	reasonBOM       = "byte-order mark"
	reasonBatch     = "batch array"
	reasonNoObject  = "not an object"
	reasonDuplicate = "duplicate member"
	reasonSurrogate = "unpaired surrogate"
	reasonVersion   = `jsonrpc is not "2.0"`
	reasonID        = "id is neither string, number nor null"
	reasonMethod    = "method is not a string"
	reasonParams    = "params is neither object nor array"
	reasonError     = "error is not an object"
	reasonMixed     = "method beside result or error"
	reasonBoth      = "both result and error"
	reasonNoVersion = "no jsonrpc member"
	reasonNothing   = "neither method, result nor error"
	reasonNoID      = "reply without id"

	// Its meta can't be taken at its word.
	reasonMeta          = "meta is not an object"
	reasonMetaDuplicate = "duplicate member of meta"
	reasonTimeout       = "meta.timeout_ms is not a non-negative integer in range"
	reasonAttempt       = "meta.attempt is not a non-negative integer in range"
	reasonWindow        = "meta.window is not a non-negative integer in range"
	reasonKey           = "meta.key is not a string"
	reasonTraceParent   = "meta.traceparent is not a string"
	reasonTraceState    = "meta.tracestate is not a string"
	reasonCaller        = "meta.caller is not a string"
)
