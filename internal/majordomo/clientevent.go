package majordomo

import (
	"encoding/json"
	"time"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// Call is one request of a client. The driver makes it and hands it over with
// [ClientCall]; it must not change it until [ClientDone], which comes exactly
// once, and may use it again then.
type Call struct {
	Service []byte   // the service's name; never written to
	Method  string   // full name, "tea.brew"
	Params  []byte   // JSON object or array; nil: none
	Body    [][]byte // in a session of opaque calls, instead of Method and Params

	Deadline   time.Time // zero: none
	Notify     bool      // a notification: it is done once its ClientSent says that it is on its way
	Idempotent bool      // it may run more than once
	Key        string    // the idempotency key; empty: none
	NoRetry    bool      // it is sent once, whatever happens
	Window     int       // above 0: a stream, and how many of its parts may be unread
	// Hedge is after how long without a reply a second broker is asked as well, if
	// the budget for retries allows it; the first outcome counts. Zero: never. It is
	// for idempotent calls without key that are neither notifications nor streams.
	Hedge time.Duration

	TraceParent string
	TraceState  string
	Caller      string
	Strings     map[string]string // further members of meta

	// Data belongs to the driver.
	Data any

	progress callProgress
}

// HandedOver says whether a worker was given a request.
type HandedOver uint8

// What may be known of that.
const (
	HandedUnknown HandedOver = iota // whoever failed the call didn't say
	HandedNo                        // it is safe to make the call again
	HandedMaybe                     // it reached a broker, and nothing more is known
	HandedYes                       // a worker was given it
)

// Failure is why a call failed.
type Failure struct {
	Code       int // a JSON-RPC error code
	Text       string
	Data       []byte // raw JSON; nil where there is none
	HandedOver HandedOver
	RetryAfter time.Duration // when it is worth another try; 0: not said
	// Local says that this side gave up; otherwise the broker or the worker
	// said so.
	Local bool
	// Cause is what made this side give up, where it was an error.
	Cause error
}

// ClientEventKind says what happened to a client's session.
type ClientEventKind uint8

// The kinds of [ClientEvent].
const (
	ClientCall       ClientEventKind = iota + 1 // make Call
	ClientAbort                                 // nobody waits for Call any more, for Err; a Timeout() that is true makes it "expired", not "cancelled"
	ClientCredit                                // N more parts of Call were read, whose results have Bytes in all
	ClientSent                                  // Conn took the message of Call, which is a notification
	ClientUnsent                                // Conn didn't take Call's message (nil: one of the session's own), for Failure, or where that is zero, since it ended, for Err (ClientLost follows): it never left
	ClientDialed                                // Conn is connected
	ClientDialFailed                            // Conn couldn't be connected, for Err
	ClientLost                                  // Conn ended, for Err
	ClientMessage                               // Conn brought Command, or something that gave Err
	ClientBrokers                               // the brokers are those of Brokers, and no others; with Err no more, or not all, can be found, and nil stands for those that are known
	ClientWake                                  // the time of NextWake has come
	ClientClose                                 // stop at once: what isn't done fails with ErrClientClosed
)

// ClientEvent is something that happens to a client's session.
type ClientEvent struct {
	Kind     ClientEventKind
	Conn     uint64
	Copies   bool // ClientDialed: Conn keeps nothing of small messages (MaxReused)
	Joins    bool // ClientDialed: Conn takes messages with a frame in pieces (ClientAction.Joined)
	Call     *Call
	N        int
	Bytes    int
	Brokers  []int // ClientBrokers: their numbers, old ones or such as it doesn't use (Uses); the session keeps nothing of it
	Command  mdp.Command
	Envelope jsonrpc.Envelope
	Failure  Failure // ClientMessage: what the Envelope says, where it is a failure; ClientUnsent: why
	Err      error
}

// Received makes ev the event of a message on a connection. It needs nothing of
// the session's state and can run before its turn comes.
func (ev *ClientEvent) Received(conn uint64, frames [][]byte) {
	*ev = ClientEvent{Kind: ClientMessage, Conn: conn}
	ev.Command, ev.Err = mdp.ParseClient(frames)
	if ev.Err != nil {
		return
	}
	body := ev.Command.Body
	if len(body) > 1 && ev.Command.Version != mdp.V01 {
		return
	}
	// In MDP/0.1 the parts of a stream precede the last frame.
	jsonrpc.Scan(body[len(body)-1], &ev.Envelope)
	if ev.Envelope.Kind == jsonrpc.Failure {
		ev.Failure.read(ev.Envelope.Error)
	}
}

// read fills f from the error member of a reply.
func (f *Failure) read(raw []byte) {
	code, text, data, err := jsonrpc.ParseError(raw)
	if err != nil {
		*f = Failure{Code: jsonrpc.CodeInternal, Text: "the reply's error can't be read", Cause: err}
		return
	}
	*f = Failure{Code: code, Text: text, Data: data}
	if code > jsonrpc.CodeNoService || code < jsonrpc.CodeDropped || data == nil {
		return // none of the broker's
	}
	var said struct {
		HandedOver   *bool `json:"handed_over"`
		RetryAfterMS int64 `json:"retry_after_ms"`
	}
	if json.Unmarshal(data, &said) != nil {
		return // data is anything: a worker may use a code of the broker's
	}
	if said.HandedOver != nil {
		f.HandedOver = HandedNo
		if *said.HandedOver {
			f.HandedOver = HandedYes
		}
	}
	if said.RetryAfterMS > 0 {
		f.RetryAfter = time.Duration(min(said.RetryAfterMS, jsonrpc.MaxTimeoutMS)) * time.Millisecond
	}
}

// ClientActionKind says what a client's session wants done.
type ClientActionKind uint8

// The kinds of [ClientAction].
const (
	ClientDial   ClientActionKind = iota + 1 // connect to the endpoint Broker, as Conn; others may go on
	ClientSend                               // send Message on Conn
	ClientHangup                             // close Conn, or stop dialling it
	ClientPart                               // Result and Body are one part of the stream that Call asked for
	ClientDone                               // Call has ended; nothing more comes of it
	ClientNote                               // the log should hear of Text, and Err where there is one
)

// ClientAction is something that a client's session wants done. Actions of one
// step are to be carried out in their order.
//
// There is a connection to each broker, and one to a broker that drains stays until
// the replies that it owes have come. The driver keeps them by their numbers, each
// until its ClientHangup or until it told its ClientDialFailed or ClientLost.
type ClientAction struct {
	Kind    ClientActionKind
	Conn    uint64
	Broker  int
	Call    *Call // ClientSend: whose request Message is; nil: the session's own
	Message [][]byte
	Joined  int      // ClientSend: how many frames at the end of Message are pieces of one; 0: none
	Result  []byte   // ClientPart, ClientDone: raw JSON; nil where the reply isn't JSON-RPC
	Body    [][]byte // ClientPart, ClientDone: the frames of the reply
	Failure *Failure // ClientDone: why it failed; nil: it didn't
	Text    string
	Err     error
}
