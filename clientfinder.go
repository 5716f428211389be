package mesh

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/mdpmesh/mesh/transport"
)

// clientFinder tells the links of a client where brokers are, as its discovery says,
// from the time at which the first of them has a call. It is nil for a client without
// a discovery.
type clientFinder struct {
	discovery Discovery
	fixed     []transport.Endpoint // that are known without it
	logger    *slog.Logger         // may be nil
	once      sync.Once
	stop      context.CancelFunc // ends ctx
	watching  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	news   foundBrokers
	links  []*clientLink
	closed bool
}

// foundBrokers is what a discovery said, or what became of it.
type foundBrokers struct {
	serial  int                  // of what was said; 0: nothing yet
	brokers []transport.Endpoint // nil: it never said any
	err     error                // it, or a part of it, can't say anything any more
}

func newClientFinder(cfg *ClientConfig) *clientFinder {
	if cfg.Discovery == nil {
		return nil
	}
	return &clientFinder{discovery: cfg.Discovery, fixed: cfg.Brokers, logger: cfg.Logger}
}

// errWatchEnded is why brokers can't be found where a discovery gave no reason.
var errWatchEnded = errors.New("mesh: the discovery ended")

// begin has the discovery watched.
func (f *clientFinder) begin() {
	if f != nil {
		f.once.Do(f.watch)
	}
}

func (f *clientFinder) watch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.watching.Go(func() {
		err := watchDiscovery(ctx, f.discovery, func(found []transport.Endpoint) {
			f.tell(func(news *foundBrokers) {
				news.brokers = append(append([]transport.Endpoint{}, f.fixed...), found...)
			})
		}, func(why error) { f.lost(textMemberEnded, why, false) })
		if ctx.Err() == nil {
			f.lost("brokers can't be found any more", cmp.Or(err, errWatchEnded), true)
		}
	})
}

// lost tells that the discovery, or one of several, has ended. What it said still counts.
// Why all ended says why each did.
func (f *clientFinder) lost(text string, why error, all bool) {
	if f.logger != nil {
		f.logger.Error(text, "error", why)
	}
	f.tell(func(news *foundBrokers) {
		if !all {
			why = errors.Join(news.err, why)
		}
		news.err = why
	})
}

// tell passes on what is new.
func (f *clientFinder) tell(change func(*foundBrokers)) {
	f.mu.Lock()
	f.news.serial++
	change(&f.news)
	news, links := f.news, slices.Clone(f.links)
	f.mu.Unlock()
	for _, l := range links {
		l.found(news)
	}
}

// join has l told what is known, and what is found from now on.
func (f *clientFinder) join(l *clientLink) {
	if f == nil {
		return
	}
	f.mu.Lock()
	f.links = append(f.links, l)
	news := f.news
	f.mu.Unlock()
	if news.serial > 0 {
		l.found(news)
	}
}

// close ends the watching, and returns when it has ended.
func (f *clientFinder) close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	f.closed = true
	stop := f.stop
	f.mu.Unlock()
	if stop != nil {
		stop()
	}
	f.watching.Wait()
}
