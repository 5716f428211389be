package majordomo

import (
	"errors"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// WorkerEventKind says what happened to a worker's session.
type WorkerEventKind uint8

// The kinds of [WorkerEvent].
const (
	WorkerStart      WorkerEventKind = iota + 1 // begin: dial all brokers
	WorkerDialed                                // Conn is connected
	WorkerDialFailed                            // Conn couldn't be connected, for Err
	WorkerLost                                  // Conn ended, or takes nothing more, for Err
	WorkerMessage                               // Conn brought Command, or something that gave Err
	WorkerUnsent                                // Conn didn't take Message, which is too large for it, for Err
	WorkerReply                                 // Body is a reply to Job, its last where Final is set
	WorkerBrokers                               // the brokers are those of Brokers, and no others
	WorkerWake                                  // the time of NextWake has come
	WorkerDrain                                 // finish what is running, take nothing new, then stop
	WorkerStop                                  // stop at once
)

// WorkerEvent is something that happens to a worker's session.
type WorkerEvent struct {
	Kind     WorkerEventKind
	Conn     uint64
	Copies   bool // WorkerDialed: Conn keeps nothing of small messages (MaxReused)
	Joins    bool // WorkerDialed: Conn takes messages with a frame in pieces (WorkerAction.Joined)
	Command  mdp.Command
	Envelope jsonrpc.Envelope // of the command's body, where that is one frame
	Err      error
	Message  [][]byte // WorkerUnsent
	Job      *Job     // WorkerReply: no longer the driver's where Final is set
	Body     [][]byte // WorkerReply: at least one frame; the session keeps the frames, not the slice
	Joined   int      // WorkerReply that is Final, to a job that Joins: how many frames at the end of Body are pieces of one; 0: none
	Final    bool
	Brokers  []int // WorkerBrokers: their numbers, each once; the session keeps nothing of it
}

// Received makes ev the event of a message on a connection. It needs nothing of
// the session's state and can run before its turn comes.
func (ev *WorkerEvent) Received(conn uint64, frames [][]byte) {
	ev.Kind, ev.Conn, ev.Message, ev.Job, ev.Body, ev.Final = WorkerMessage, conn, nil, nil, nil, false
	ev.Command, ev.Err = mdp.ParseWorker(frames)
	if ev.Err == nil && len(ev.Command.Body) == 1 {
		jsonrpc.Scan(ev.Command.Body[0], &ev.Envelope)
		return
	}
	ev.Envelope = noEnvelope()
}

// WorkerActionKind says what a worker's session wants done.
type WorkerActionKind uint8

// The kinds of [WorkerAction].
const (
	// WorkerDial: connect to Broker, as Conn.
	WorkerDial WorkerActionKind = iota + 1
	// WorkerSend: send Message on Conn.
	WorkerSend
	// WorkerHangup: close Conn, after what was sent, or give up to dial it.
	WorkerHangup
	// WorkerRun: run Job. Its final reply is due, once, whatever happens.
	WorkerRun
	// WorkerCancel: nobody waits for Job any more, for Err. It comes at most once
	// for a job, and its final reply is due all the same.
	WorkerCancel
	// WorkerCredit: N more PARTIALs of Job may be sent.
	WorkerCredit
	// WorkerAccepted: Broker took the registration, or is plain.
	WorkerAccepted
	// WorkerNote: the log should hear of Text about Broker, and Err where there is one.
	WorkerNote
	// WorkerFinished: the session is over, as WorkerDrain or WorkerStop wanted. It
	// comes once, as the last action.
	WorkerFinished
)

// WorkerAction is something that a worker's session wants done. Actions of one
// step are to be carried out in their order.
type WorkerAction struct {
	Kind       WorkerActionKind
	Conn       uint64
	Broker     int // WorkerDial, WorkerAccepted, WorkerNote
	Message    [][]byte
	Joined     int // WorkerSend: how many frames at the end of Message are pieces of one; 0: none
	Job        *Job
	N          int
	Registered *Registered // WorkerAccepted: what the broker answered; nil where it is plain
	Text       string
	Err        error
}

// Reasons for WorkerCancel.
var (
	ErrCallerCancelled = errors.New("majordomo: the caller cancelled the request")
	ErrConnectionLost  = errors.New("majordomo: the connection to the broker was lost")
	ErrStopped         = errors.New("majordomo: the worker was stopped")
	ErrReplyTooLarge   = errors.New("majordomo: the reply is too large")
)

// Why a session gives up a connection.
var (
	// ErrNotRegistered: mmi.register wasn't answered in time.
	ErrNotRegistered = errors.New("majordomo: no answer to mmi.register; if the broker speaks plain MDP, set Speak to MDP02 or MDP01")

	// ErrRefused: the broker took neither the registration nor a part of it.
	ErrRefused = errors.New("majordomo: the broker refused the registration")

	errNoPong        = errors.New("majordomo: no answer to mmi.ping")
	errDisconnected  = errors.New("majordomo: the broker disconnected the worker")
	errReadyRefused  = errors.New("majordomo: the broker refused the service that READY named")
	errNoEnvelope    = errors.New("majordomo: the answer to mmi.register is neither JSON-RPC nor a status")
	errOtherVersion  = errors.New("majordomo: a message of another version of MDP than the worker speaks")
	errNoAddress     = errors.New("majordomo: a request without the address frame of a registered worker")
	errTooEarly      = errors.New("majordomo: the broker spoke before the worker was READY")
	errUnanswered    = errors.New("majordomo: the broker didn't answer mmi.register, though it did before")
	errShareRefused  = errors.New("majordomo: the broker refused another share of the worker's capacity")
	errTokenRepeated = errors.New("majordomo: a request with the token of one that is running")
)
