package mesh

import (
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
	serial  int // of what was said; 0: nothing yet
	brokers []transport.Endpoint
	err     error // it can't say anything any more
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
		err := f.discovery.Watch(ctx, func(found []transport.Endpoint) {
			f.tell(slices.Concat(f.fixed, found), nil)
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errWatchEnded
		}
		if f.logger != nil {
			f.logger.Error("brokers can't be found any more", "error", err)
		}
		f.tell(nil, err)
	})
}

// tell passes on what is new.
func (f *clientFinder) tell(brokers []transport.Endpoint, err error) {
	f.mu.Lock()
	f.news = foundBrokers{serial: f.news.serial + 1, brokers: brokers, err: err}
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
