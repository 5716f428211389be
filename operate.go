package mesh

import (
	"context"

	"github.com/mdpmesh/mesh/internal/majordomo"
	"github.com/mdpmesh/mesh/internal/mdp"
)

// The methods for operators do for the program that the broker is part of what those of
// [Client] do for peers, and need no right.

// Pause stops the hand-over of a service's requests to workers, until [Broker.Resume];
// see [Client.Pause]. It fails with [ErrNoService] where the broker doesn't know the
// service, and with ctx's error where that is over already.
func (b *Broker) Pause(ctx context.Context, service string) error {
	return b.operate(ctx, &majordomo.Operation{Name: mdp.MMIPause, Service: service})
}

// Resume ends a pause of a service. It fails in the same ways as [Broker.Pause].
func (b *Broker) Resume(ctx context.Context, service string) error {
	return b.operate(ctx, &majordomo.Operation{Name: mdp.MMIResume, Service: service})
}

// DrainWorker hands nothing more to the workers that registered as this instance; see
// [Client.DrainWorker]. It fails with [ErrNotFound] where no such worker is connected,
// and with ctx's error where that is over already.
func (b *Broker) DrainWorker(ctx context.Context, instance string) error {
	return b.operate(ctx, &majordomo.Operation{Name: mdp.MMIDrain, Worker: instance})
}

// DisconnectWorker ends the conversation with the workers that registered as this
// instance; see [Client.DisconnectWorker]. It fails in the same ways as
// [Broker.DrainWorker].
func (b *Broker) DisconnectWorker(ctx context.Context, instance string) error {
	return b.operate(ctx, &majordomo.Operation{Name: mdp.MMIDisconnect, Worker: instance})
}

// CancelRequest cancels a request by its serial number; see [Client.CancelRequest]. It
// fails with [ErrNotFound] where the request has its outcome already, and with ctx's
// error where that is over already.
func (b *Broker) CancelRequest(ctx context.Context, request uint64) error {
	return b.operate(ctx, &majordomo.Operation{Name: mdp.MMICancel, Request: request})
}

// Release runs a request from quarantine once more, and returns the serial number of
// the new run; see [Client.Release], which fails in the same ways.
func (b *Broker) Release(ctx context.Context, request uint64) (uint64, error) {
	op := &majordomo.Operation{Name: mdp.MMIRelease, Request: request}
	err := b.operate(ctx, op)
	return op.Released, err
}

// Drop removes a request from quarantine for good. It fails with [ErrNotFound] where
// the request isn't there, and with ctx's error where that is over already.
func (b *Broker) Drop(ctx context.Context, request uint64) error {
	return b.operate(ctx, &majordomo.Operation{Name: mdp.MMIDrop, Request: request})
}

// operate has the core carry out op.
func (b *Broker) operate(ctx context.Context, op *majordomo.Operation) error {
	if err := b.stage.operate(ctx, op); err != nil {
		return err
	}
	if op.Code == 0 {
		return nil
	}
	return &Error{Code: Code(op.Code), Message: op.Reason, RetryAfter: op.RetryAfter}
}

// operate gives the core an operation, and waits until it was carried out.
func (s *stage) operate(ctx context.Context, op *majordomo.Operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.submit(&turn{
		events: []majordomo.Event{{Kind: majordomo.Operate, Operation: op}},
		do:     func(*majordomo.Broker) { close(done) },
	})
	<-done // soon: nothing that the core does waits
	return nil
}
