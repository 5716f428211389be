package jsonrpc

// Error codes of JSON-RPC 2.0, section 5.1.
const (
	CodeParse          = -32700 // the body isn't JSON
	CodeInvalidRequest = -32600 // the body isn't a request
	CodeMethodNotFound = -32601 // the service has no such method
	CodeInvalidParams  = -32602 // the parameters don't satisfy the method's contract
	CodeInternal       = -32603 // the handler failed without a code of its own
)

// Error codes of mesh, in the range that JSON-RPC 2.0 leaves to servers.
const (
	CodeNoService      = -32000 // no worker ever offered the service
	CodeNoWorker       = -32001 // the service is known, but has no worker
	CodeOverloaded     = -32002 // a queue or another bound is full
	CodeExpired        = -32003 // the deadline passed
	CodeWorkerLost     = -32004 // the worker died with the request in hand
	CodeCancelled      = -32005 // the caller or an operator cancelled the request
	CodeQuarantined    = -32006 // too many workers died of the request
	CodeDraining       = -32007 // the broker is stopping and takes nothing new
	CodeNotPermitted   = -32008 // the caller has no right to do this
	CodeOutcomeUnknown = -32009 // a keyed repeat whose first run nobody remembers
	CodeKeyConflict    = -32010 // the key was used with other parameters
	CodeTooLarge       = -32011 // the message is above a size limit
	CodeNotStarted     = -32012 // the worker gave the request back untouched
	CodeNotFound       = -32013 // no request, worker or service of that name or id
	CodeBrokerLost     = -32014 // the connection to the broker ended
	CodeDropped        = -32015 // an operator dropped the request
)

// CodeName returns a code's name in words, "worker lost" for [CodeWorkerLost],
// or the empty string for a code that this package doesn't define.
func CodeName(code int) string {
	switch code {
	case CodeParse:
		return "parse error"
	case CodeInvalidRequest:
		return "invalid request"
	case CodeMethodNotFound:
		return "method not found"
	case CodeInvalidParams:
		return "invalid params"
	case CodeInternal:
		return "internal error"
	case CodeNoService:
		return "no such service"
	case CodeNoWorker:
		return "no worker"
	case CodeOverloaded:
		return "overloaded"
	case CodeExpired:
		return "expired"
	case CodeWorkerLost:
		return "worker lost"
	case CodeCancelled:
		return "cancelled"
	case CodeQuarantined:
		return "quarantined"
	case CodeDraining:
		return "draining"
	case CodeNotPermitted:
		return "not permitted"
	case CodeOutcomeUnknown:
		return "outcome unknown"
	case CodeKeyConflict:
		return "key conflict"
	case CodeTooLarge:
		return "too large"
	case CodeNotStarted:
		return "not started"
	case CodeNotFound:
		return "not found"
	case CodeBrokerLost:
		return "broker lost"
	case CodeDropped:
		return "dropped"
	default:
		return ""
	}
}
