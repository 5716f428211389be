package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// Code says what went wrong, as it crosses the wire: the code of a JSON-RPC 2.0
// error. Codes from -32768 to -32000 are reserved; an application uses others.
type Code int

// The codes that mesh itself uses (docs/protocol.md "Errors").
const (
	CodeParse          Code = jsonrpc.CodeParse          // the request is no JSON; mesh never says it, as such a request is opaque
	CodeInvalidRequest Code = jsonrpc.CodeInvalidRequest // the request is no JSON-RPC
	CodeNoMethod       Code = jsonrpc.CodeMethodNotFound // the service has no such method
	CodeInvalidParams  Code = jsonrpc.CodeInvalidParams  // the parameters don't fit the contract
	CodeInternal       Code = jsonrpc.CodeInternal       // the handler panicked, or its result couldn't be written or read
	CodeNoService      Code = jsonrpc.CodeNoService      // no such service
	CodeNoWorker       Code = jsonrpc.CodeNoWorker       // the service is known and has no worker
	CodeOverloaded     Code = jsonrpc.CodeOverloaded     // a queue is full
	CodeTimeout        Code = jsonrpc.CodeExpired        // the deadline passed
	CodeWorkerLost     Code = jsonrpc.CodeWorkerLost     // the worker was lost while it had the request
	CodeCancelled      Code = jsonrpc.CodeCancelled      // the caller cancelled
	CodeQuarantined    Code = jsonrpc.CodeQuarantined    // too many workers were lost under the request
	CodeDraining       Code = jsonrpc.CodeDraining       // the broker is stopping
	CodeNotPermitted   Code = jsonrpc.CodeNotPermitted   // the caller has no right to do this
	CodeOutcomeUnknown Code = jsonrpc.CodeOutcomeUnknown // a keyed request may have run, and nobody knows how it ended
	CodeKeyConflict    Code = jsonrpc.CodeKeyConflict    // the key was used with other parameters
	CodeTooLarge       Code = jsonrpc.CodeTooLarge       // a message is larger than a limit
	CodeNotStarted     Code = jsonrpc.CodeNotStarted     // the worker has no room; brokers put such a request back
	CodeNotFound       Code = jsonrpc.CodeNotFound       // a management request names something unknown
	CodeBrokerLost     Code = jsonrpc.CodeBrokerLost     // the connection to the broker was lost while it had the request
	CodeDropped        Code = jsonrpc.CodeDropped        // reserved: an operator dropped the request
	CodeUnknown        Code = -32050                     // a handler returned a Go error that has no code of its own
)

// String returns the code's name, or its number where it has none here.
func (c Code) String() string {
	if c == CodeUnknown {
		return "unknown"
	}
	if name := jsonrpc.CodeName(int(c)); name != "" {
		return name
	}
	return fmt.Sprintf("code %d", int(c))
}

// ofBroker says that the code is one with which a broker ends a request.
func (c Code) ofBroker() bool { return c <= CodeNoService && c >= CodeDropped }

// Error is an error as it crosses the wire, and what every failed call returns
// (errors.As). Two errors are the same to errors.Is where their codes are, so
// sentinels such as [ErrOverloaded] match whatever the message says;
// [ErrTimeout] also matches context.DeadlineExceeded, and [ErrCancelled]
// context.Canceled.
type Error struct {
	// Code says what went wrong.
	Code Code
	// Message says it for people.
	Message string
	// Data is JSON that goes with it, nil where there is none.
	Data json.RawMessage
	// Local reports that this side gave up (its deadline passed, its connection
	// was lost); otherwise the peer said so.
	Local bool
	// HandedOver reports that a worker may have begun the request, as far as
	// anybody knows. Where it is false the request, as it was sent last, had no
	// effect.
	HandedOver bool
	// RetryAfter is when another try is worth while, zero where nobody said.
	RetryAfter time.Duration

	cause error
}

// Error returns the code's name and the message.
func (e *Error) Error() string {
	name := e.Code.String()
	switch {
	case e.Message == "":
		return "mesh: " + name
	case strings.HasPrefix(e.Message, name): // brokers say it to those who see no code
		return "mesh: " + e.Message
	}
	return "mesh: " + name + ": " + e.Message
}

// Is reports whether target is an *Error with the same code, or the context
// error that stands for the same.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Code == CodeTimeout
	case context.Canceled:
		return e.Code == CodeCancelled && !errors.Is(e.cause, ErrClosed) // that was no wish of the caller's
	}
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap returns the application's own error, where the code is one that it
// registered, or what made this side give up.
func (e *Error) Unwrap() error { return e.cause }

// Sentinels for errors.Is, one for each way in which a request ends without the
// reply of its handler, and ErrNotFound for management requests that name a worker
// or a request that isn't there.
var (
	ErrNoMethod       error = &Error{Code: CodeNoMethod}
	ErrInvalidParams  error = &Error{Code: CodeInvalidParams}
	ErrInternal       error = &Error{Code: CodeInternal}
	ErrNoService      error = &Error{Code: CodeNoService}
	ErrNoWorker       error = &Error{Code: CodeNoWorker}
	ErrOverloaded     error = &Error{Code: CodeOverloaded}
	ErrTimeout        error = &Error{Code: CodeTimeout}
	ErrCancelled      error = &Error{Code: CodeCancelled}
	ErrWorkerLost     error = &Error{Code: CodeWorkerLost}
	ErrBrokerLost     error = &Error{Code: CodeBrokerLost}
	ErrQuarantined    error = &Error{Code: CodeQuarantined}
	ErrDraining       error = &Error{Code: CodeDraining}
	ErrNotPermitted   error = &Error{Code: CodeNotPermitted}
	ErrOutcomeUnknown error = &Error{Code: CodeOutcomeUnknown}
	ErrKeyConflict    error = &Error{Code: CodeKeyConflict}
	ErrTooLarge       error = &Error{Code: CodeTooLarge}
	ErrNotFound       error = &Error{Code: CodeNotFound}
)

// ErrClosed is returned by the methods of a [Client], [Worker], [Broker] or
// [Mesh] that was closed or shut down.
var ErrClosed = errors.New("mesh: closed")

// Errorf returns an error with a code of the application's, for a handler to
// return; the code needn't be registered in [Errors]. If format wraps an error
// with %w, errors.Is and errors.As find it on this side; only code and text cross
// the wire.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
	if _, many := err.(interface{ Unwrap() []error }); many {
		e.cause = err
	}
	return e
}

// Errors maps an application's own Go errors to codes and back, so that what a
// handler returned is what errors.Is and errors.As find at the caller. Give the
// same to workers and clients. It is made complete before it is used: adding to
// it later is a race.
//
//	var errs mesh.Errors
//	errs.Add(1001, ErrNoSugar)                       // a sentinel
//	mesh.AddErrorType[*OutOfStock](&errs, 1002)      // a type; its JSON crosses the wire
type Errors struct {
	byCode map[Code]errorKind
	kinds  []errorKind
}

type errorKind struct {
	code     Code
	sentinel error
	find     func(error) (any, bool)          // the error of this type in a chain
	decode   func(data json.RawMessage) error // nil for sentinels
}

// Add gives a sentinel a code. Where an error is several that are registered, the
// first counts. Add panics where the code is reserved or taken, or err is nil: a
// mistake in the program.
func (e *Errors) Add(code Code, err error) {
	if err == nil {
		panic("mesh: Errors.Add: nil error")
	}
	e.add(errorKind{code: code, sentinel: err})
}

// AddErrorType gives an error type a code. The error crosses the wire as its
// JSON (encoding/json) in the error's data, and its text as the message. It
// panics where the code is reserved or taken.
func AddErrorType[E error](e *Errors, code Code) {
	e.add(errorKind{
		code: code,
		find: func(err error) (any, bool) {
			var target E
			ok := errors.As(err, &target)
			return target, ok
		},
		decode: func(data json.RawMessage) error {
			var target E
			if t := reflect.TypeFor[E](); t.Kind() == reflect.Pointer {
				target = reflect.New(t.Elem()).Interface().(E)
				if json.Unmarshal(data, target) != nil {
					return nil
				}
				return target
			}
			if json.Unmarshal(data, &target) != nil {
				return nil
			}
			return target
		},
	})
}

func (e *Errors) add(k errorKind) {
	if k.code >= -32768 && k.code <= -32000 {
		panic(fmt.Sprintf("mesh: error code %d is reserved (-32768 to -32000)", k.code))
	}
	if _, taken := e.byCode[k.code]; taken {
		panic(fmt.Sprintf("mesh: error code %d is registered twice", k.code))
	}
	if e.byCode == nil {
		e.byCode = make(map[Code]errorKind)
	}
	e.byCode[k.code] = k
	e.kinds = append(e.kinds, k)
}

// encode returns err as it crosses the wire.
func (e *Errors) encode(err error) *Error {
	if e != nil {
		for _, k := range e.kinds {
			if k.sentinel != nil {
				if errors.Is(err, k.sentinel) {
					return &Error{Code: k.code, Message: err.Error(), cause: err}
				}
				continue
			}
			if found, ok := k.find(err); ok {
				data, jsonErr := json.Marshal(found)
				if jsonErr != nil {
					data = nil // the code and the text still say what it is
				}
				return &Error{Code: k.code, Message: err.Error(), Data: data, cause: err}
			}
		}
	}
	var own *Error
	switch {
	case errors.As(err, &own):
		if error(own) == err { //nolint:errorlint // the error itself, not one in its chain
			return own
		}
		return &Error{Code: own.Code, Message: err.Error(), Data: own.Data, cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeTimeout, Message: err.Error(), cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCancelled, Message: err.Error(), cause: err}
	}
	return &Error{Code: CodeUnknown, Message: err.Error(), cause: err}
}

// brokerData is what a broker says in the data of its errors.
type brokerData struct {
	HandedOver   bool  `json:"handed_over"`
	RetryAfterMS int64 `json:"retry_after_ms"`
}

// decode returns the error that a peer sent.
func (e *Errors) decode(code Code, message string, data json.RawMessage) *Error {
	err := &Error{Code: code, Message: message, Data: data, HandedOver: true}
	if code.ofBroker() {
		var said brokerData
		if json.Unmarshal(data, &said) == nil && len(data) > 0 {
			err.HandedOver = said.HandedOver
			err.RetryAfter = milliseconds(said.RetryAfterMS)
		}
	}
	if e == nil {
		return err
	}
	if k, ok := e.byCode[code]; ok {
		err.cause = k.sentinel
		if k.decode != nil {
			err.cause = k.decode(data)
		}
	}
	return err
}

// milliseconds reads a duration as it is in messages.
func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// asError finds an *Error in err's chain.
func asError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
