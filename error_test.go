package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

var errNoSugar = errors.New("out of sugar")

// stockError and limitError are an application's own error types.
type stockError struct {
	Item string `json:"item"`
	Left int    `json:"left"`
}

func (e *stockError) Error() string { return fmt.Sprintf("only %d of %s left", e.Left, e.Item) }

type limitError struct{ Max int }

func (e limitError) Error() string { return fmt.Sprintf("more than %d", e.Max) }

// shyError can't be written as JSON.
type shyError struct{ C chan int }

func (e *shyError) Error() string { return "shy" }

func errorKinds() *mesh.Errors {
	var errs mesh.Errors
	errs.Add(1001, errNoSugar)
	mesh.AddErrorType[*stockError](&errs, 1002)
	mesh.AddErrorType[limitError](&errs, 1003)
	mesh.AddErrorType[*shyError](&errs, 1004)
	errs.Add(-7, io.ErrUnexpectedEOF)
	return &errs
}

// errorCall returns what a caller gets whose handler returned err.
func errorCall(t *testing.T, worker, client *mesh.Errors, err error) *mesh.Error {
	t.Helper()
	h := hubStart(t, mesh.BrokerConfig{})
	h.worker(mesh.WorkerConfig{Errors: worker}, mesh.NewService("tea").HandleRaw("brew",
		func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(`"not this"`), err
		}))
	result, got := h.clientOf(mesh.ClientConfig{Errors: client, Retry: mesh.Retry{Attempts: 1}}).CallRaw(t.Context(), "tea.brew", nil)
	require.Nil(t, result)
	e := callError(t, got)
	require.False(t, e.Local, "the peer said so")
	require.True(t, e.HandedOver)
	return e
}

func TestErrorSentinel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, err := range []error{errNoSugar, fmt.Errorf("brewing: %w", errNoSugar), errors.Join(io.EOF, errNoSugar)} {
			e := errorCall(t, errorKinds(), errorKinds(), err)
			require.ErrorIs(t, e, errNoSugar)
			require.ErrorIs(t, e, &mesh.Error{Code: 1001})
			require.NotErrorIs(t, e, io.ErrUnexpectedEOF)
			require.NotErrorIs(t, e, mesh.ErrInternal)
			require.Equal(t, err.Error(), e.Message)
			require.Equal(t, "mesh: code 1001: "+err.Error(), e.Error())
		}
		e := errorCall(t, errorKinds(), errorKinds(), io.ErrUnexpectedEOF)
		require.ErrorIs(t, e, io.ErrUnexpectedEOF)
		require.Equal(t, mesh.Code(-7), e.Code)
	})
}

func TestErrorType(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := errorCall(t, errorKinds(), errorKinds(), fmt.Errorf("brewing: %w", &stockError{"tea", 3}))
		var stock *stockError
		require.ErrorAs(t, e, &stock)
		require.Equal(t, &stockError{"tea", 3}, stock)
		require.Equal(t, "brewing: only 3 of tea left", e.Message)
		require.JSONEq(t, `{"item":"tea","left":3}`, string(e.Data))
		require.Equal(t, mesh.Code(1002), e.Code)

		e = errorCall(t, errorKinds(), errorKinds(), limitError{5})
		var limit limitError
		require.ErrorAs(t, e, &limit)
		require.Equal(t, limitError{5}, limit)
		require.NotErrorAs(t, e, &stock)

		e = errorCall(t, errorKinds(), errorKinds(), &shyError{make(chan int)})
		var shy *shyError
		require.NotErrorAs(t, e, &shy, "it couldn't be written")
		require.Equal(t, mesh.Code(1004), e.Code)
		require.Equal(t, "shy", e.Message)
		require.Nil(t, e.Data)
	})
}

// Sides that don't know the same errors understand code, text and data.
func TestErrorThatOneSideKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := errorCall(t, errorKinds(), nil, &stockError{"tea", 3})
		require.Equal(t, mesh.Code(1002), e.Code)
		require.JSONEq(t, `{"item":"tea","left":3}`, string(e.Data))
		require.NoError(t, e.Unwrap())

		e = errorCall(t, nil, errorKinds(), &stockError{"tea", 3})
		require.Equal(t, mesh.CodeUnknown, e.Code)
		require.Equal(t, "only 3 of tea left", e.Message)
		require.Equal(t, "mesh: unknown: only 3 of tea left", e.Error())

		e = errorCall(t, nil, errorKinds(), mesh.Errorf(1001, "by its code"))
		require.ErrorIs(t, e, errNoSugar)
		require.Equal(t, "by its code", e.Message)

		e = errorCall(t, nil, errorKinds(), &mesh.Error{Code: 1002, Message: "other data", Data: json.RawMessage(`[1]`)})
		require.NoError(t, e.Unwrap(), "data that doesn't fit the type")
		require.JSONEq(t, `[1]`, string(e.Data))
	})
}

func TestErrorsAddPanics(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		add  func(e *mesh.Errors)
		want string
	}{
		"nil":              {func(e *mesh.Errors) { e.Add(1, nil) }, "nil error"},
		"reserved":         {func(e *mesh.Errors) { e.Add(-32000, io.EOF) }, "reserved"},
		"reserved, lowest": {func(e *mesh.Errors) { e.Add(-32768, io.EOF) }, "reserved"},
		"a reserved type":  {func(e *mesh.Errors) { mesh.AddErrorType[limitError](e, -32050) }, "reserved"},
		"twice":            {func(e *mesh.Errors) { e.Add(1, io.EOF); e.Add(1, io.ErrNoProgress) }, "registered twice"},
		"a type twice":     {func(e *mesh.Errors) { e.Add(1, io.EOF); mesh.AddErrorType[limitError](e, 1) }, "registered twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			methodPanics(t, c.want, func() { c.add(new(mesh.Errors)) })
		})
	}
	var e mesh.Errors
	e.Add(-32769, io.EOF)
	e.Add(-31999, io.ErrNoProgress)
}

// The errors of contexts cross the wire both ways.
func TestErrorOfContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for err, want := range map[error]error{
			context.DeadlineExceeded:                         mesh.ErrTimeout,
			context.Canceled:                                 mesh.ErrCancelled,
			fmt.Errorf("x: %w", context.DeadlineExceeded):    mesh.ErrTimeout,
			fmt.Errorf("x: %w", context.Canceled):            mesh.ErrCancelled,
			&mesh.Error{Code: mesh.CodeTimeout, Local: true}: context.DeadlineExceeded,
			mesh.ErrCancelled:                                context.Canceled,
		} {
			e := errorCall(t, nil, nil, err)
			require.ErrorIs(t, e, want, "%v", err)
			require.Equal(t, errors.Is(want, mesh.ErrTimeout) || errors.Is(want, context.DeadlineExceeded), errors.Is(e, context.DeadlineExceeded))
			require.Equal(t, errors.Is(want, mesh.ErrCancelled) || errors.Is(want, context.Canceled), errors.Is(e, context.Canceled))
		}
	})
}

// A handler's own deadline is the peer's word, the caller's is this side's.
func TestErrorLocal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{})
		h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").HandleRaw("brew",
			func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}))
		c := h.client()
		err := callLast(c.CallRaw(t.Context(), "tea.brew", nil))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.False(t, callError(t, err).Local)

		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err = callLast(c.CallRaw(ctx, "tea.brew", nil))
		require.ErrorIs(t, err, mesh.ErrCancelled)
		require.True(t, callError(t, err).Local)

		require.NoError(t, h.broker.Shutdown(t.Context()))
		err = callLast(c.CallRaw(t.Context(), "tea.brew", nil, mesh.Timeout(time.Second)))
		require.ErrorIs(t, err, mesh.ErrTimeout)
		require.True(t, callError(t, err).Local)
	})
}

// A handler that passes on what a broker said of a call of its own doesn't make its
// caller think that of this one: above all not that it had no effect.
func TestErrorPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hubStart(t, mesh.BrokerConfig{NoWorkerWait: time.Nanosecond})
		inner := h.client()
		runs := 0
		h.worker(mesh.WorkerConfig{}, mesh.NewService("tea").
			HandleRaw("brew", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
				runs++
				_, err := inner.CallRaw(ctx, "water.boil", nil)
				return nil, fmt.Errorf("boiling: %w", err)
			}).
			HandleRaw("full", func(context.Context, json.RawMessage) (json.RawMessage, error) {
				runs++
				return nil, &mesh.Error{Code: mesh.CodeOverloaded, Data: json.RawMessage(`{"handed_over":false,"retry_after_ms":10}`)}
			}))
		c := h.clientOf(mesh.ClientConfig{}) // it would try again
		e := callError(t, callLast(c.CallRaw(t.Context(), "tea.brew", nil)))
		require.ErrorIs(t, e, mesh.ErrNoService)
		require.True(t, e.HandedOver)
		require.False(t, e.Local)
		require.Equal(t, 1, runs)

		e = callError(t, callLast(c.CallRaw(t.Context(), "tea.full", nil)))
		require.ErrorIs(t, e, mesh.ErrOverloaded)
		require.True(t, e.HandedOver)
		require.Zero(t, e.RetryAfter)
		require.Equal(t, 2, runs, "it isn't tried again")
	})
}

// Of an error that wraps another, both are found on this side.
func TestErrorf(t *testing.T) {
	t.Parallel()
	err := mesh.Errorf(1001, "no %s: %w", "tea", io.EOF)
	require.Equal(t, mesh.Code(1001), err.Code)
	require.Equal(t, "no tea: EOF", err.Message)
	require.ErrorIs(t, err, io.EOF)
	require.EqualError(t, err, "mesh: code 1001: no tea: EOF")
	require.NoError(t, mesh.Errorf(1, "alone").Unwrap())
	both := mesh.Errorf(1, "%w and %w", io.EOF, io.ErrNoProgress)
	require.ErrorIs(t, both, io.EOF)
	require.ErrorIs(t, both, io.ErrNoProgress)
	require.EqualError(t, &mesh.Error{Code: mesh.CodeOverloaded}, "mesh: overloaded")
}

func TestErrorIs(t *testing.T) {
	t.Parallel()
	err := error(&mesh.Error{Code: mesh.CodeOverloaded, Message: "full", Local: true, HandedOver: true, Data: json.RawMessage("1")})
	require.ErrorIs(t, err, mesh.ErrOverloaded)
	require.ErrorIs(t, fmt.Errorf("x: %w", err), mesh.ErrOverloaded)
	require.NotErrorIs(t, err, mesh.ErrTimeout)
	require.NotErrorIs(t, err, io.EOF)
	require.NotErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, mesh.ErrOverloaded, errors.New("mesh: overloaded"))
	require.ErrorIs(t, mesh.ErrTimeout, context.DeadlineExceeded)
	require.NotErrorIs(t, mesh.ErrTimeout, context.Canceled)
	require.ErrorIs(t, mesh.ErrCancelled, context.Canceled)
	require.NotErrorIs(t, mesh.ErrCancelled, context.DeadlineExceeded)
	require.NotErrorIs(t, context.Canceled, mesh.ErrCancelled, "it works one way")
}

func TestCodeString(t *testing.T) {
	t.Parallel()
	names := make(map[string]mesh.Code)
	for code, want := range map[mesh.Code]string{
		mesh.CodeParse: "parse error", mesh.CodeInvalidRequest: "invalid request", mesh.CodeNoMethod: "method not found",
		mesh.CodeInvalidParams: "invalid params", mesh.CodeInternal: "internal error", mesh.CodeNoService: "no such service",
		mesh.CodeNoWorker: "no worker", mesh.CodeOverloaded: "overloaded", mesh.CodeTimeout: "expired", mesh.CodeWorkerLost: "worker lost",
		mesh.CodeCancelled: "cancelled", mesh.CodeQuarantined: "quarantined", mesh.CodeDraining: "draining",
		mesh.CodeNotPermitted: "not permitted", mesh.CodeOutcomeUnknown: "outcome unknown", mesh.CodeKeyConflict: "key conflict",
		mesh.CodeTooLarge: "too large", mesh.CodeNotStarted: "not started", mesh.CodeNotFound: "not found", mesh.CodeBrokerLost: "broker lost",
		mesh.CodeDropped: "dropped", mesh.CodeUnknown: "unknown", 1001: "code 1001", 0: "code 0", -1: "code -1", -32099: "code -32099",
	} {
		require.Equal(t, want, code.String())
		names[want] = code
	}
	require.Len(t, names, 26, "no two have one name")
	for sentinel, code := range map[error]mesh.Code{
		mesh.ErrNoMethod: mesh.CodeNoMethod, mesh.ErrInvalidParams: mesh.CodeInvalidParams, mesh.ErrInternal: mesh.CodeInternal,
		mesh.ErrNoService: mesh.CodeNoService, mesh.ErrNoWorker: mesh.CodeNoWorker, mesh.ErrOverloaded: mesh.CodeOverloaded,
		mesh.ErrTimeout: mesh.CodeTimeout, mesh.ErrCancelled: mesh.CodeCancelled, mesh.ErrWorkerLost: mesh.CodeWorkerLost,
		mesh.ErrBrokerLost: mesh.CodeBrokerLost, mesh.ErrQuarantined: mesh.CodeQuarantined, mesh.ErrDraining: mesh.CodeDraining,
		mesh.ErrNotPermitted: mesh.CodeNotPermitted, mesh.ErrOutcomeUnknown: mesh.CodeOutcomeUnknown,
		mesh.ErrKeyConflict: mesh.CodeKeyConflict, mesh.ErrTooLarge: mesh.CodeTooLarge, mesh.ErrNotFound: mesh.CodeNotFound,
	} {
		require.ErrorIs(t, &mesh.Error{Code: code}, sentinel)
		require.EqualError(t, sentinel, "mesh: "+code.String())
	}
}
