package majordomo

import (
	"cmp"
	"fmt"
	"time"
)

// Right is something that a peer may be allowed to do.
type Right uint8

// The rights, docs/protocol.md "Security".
const (
	MayRegister Right = iota + 1 // offer a service
	MayCall                      // call a service or a method
	MaySee                       // ask for services, contracts and status
	MayOperate                   // pause, resume, drain, disconnect, cancel, release, drop
)

// Authorizer decides what a peer may do. It is asked while the broker holds its
// state: it answers at once, from memory.
type Authorizer interface {
	// Allow says whether id has the right. Service and method are empty where
	// what is asked for doesn't go by them.
	Allow(id Identity, right Right, service, method []byte) bool
	// Partly says whether an id that doesn't have the right over all services has it
	// over some, so that Allow is asked for each that a request is about. It is asked
	// for MaySee and MayOperate.
	Partly(id Identity, right Right) bool
	// ByMethod says whether MayCall goes by method at the service, so that a
	// body whose method can't be read must be refused.
	ByMethod(service []byte) bool
}

// Config is what a broker is made with. The zero value of each member stands for
// its default.
type Config struct {
	ID          string // of the broker, told to peers
	Incarnation string // of this run of it
	Version     string // of the software, told to peers

	Host  string   // where it runs, for status
	PID   int      // of its process, for status
	Addrs []string // at which it listens, for status

	HeartbeatInterval time.Duration // 2.5 s
	Liveness          int           // 3 intervals of silence end a peer
	BusyLimit         time.Duration // 15 min: how long a plain worker may be silent while it is busy, and how long a request without a deadline may run
	QueueTimeout      time.Duration // 30 s: how long a request without a deadline may be queued
	NoWorkerWait      time.Duration // 5 s
	ServiceMemory     time.Duration // 1 h: how long a service without workers is known

	MaxServices       int   // 10,000
	MaxMessageBytes   int   // 16 MiB
	MaxQueued         int   // 1,000,000 requests, in all services
	MaxQueuedBytes    int64 // 1 GiB, in all services
	MaxCallerQueued   int   // 100,000 requests of one caller
	MaxCallerBytes    int64 // 256 MiB of one caller
	MaxCapacity       int   // 65,536 requests at once at one worker, which is also the most
	MaxWorkerServices int   // 1,000 services of one worker, 65,536 at most
	MaxStrays         int   // 3 replies in a row that no request waits for
	MaxPartialBytes   int   // 1 MiB of PARTIALs kept for a client of MDP/0.1
	WindowEntries     int   // 100,000 keyed requests
	WindowBytes       int64 // 64 MiB of kept outcomes
	WindowAge         time.Duration
	MaxQuarantined    int   // 1,000 requests
	QuarantineBytes   int64 // 64 MiB
	MaxListed         int   // 100 requests of each state in a snapshot

	Service  ServiceConfig            // of every service, and the default of those in Services
	Services map[string]ServiceConfig // by name
	Operate  bool                     // whether peers that aren't authenticated may operate, without an Authorizer
	Authorizer
	// Observe makes the broker keep observations; without it none are made.
	Observe bool
}

// ServiceConfig is what the broker's owner says of a service.
type ServiceConfig struct {
	MaxQueued      int   // 100,000 requests
	MaxQueuedBytes int64 // 256 MiB
	// Idempotent says that what plain workers of the service do may be done
	// again. Registered workers say so themselves, method by method.
	Idempotent bool
	// Attempts is how often an idempotent request is handed over at most where
	// its contract doesn't say: 3.
	Attempts  int
	BusyLimit time.Duration // the broker's
}

const maxWorkerServices = 1 << 16 // as the address frame has it

const defaultWindow = 32 // PARTIALs unread, docs/protocol.md "Streams"

// withDefaults returns c complete, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	positive := func(err error, name string, v, def int64) (int64, error) {
		if v < 0 && err == nil {
			err = fmt.Errorf("majordomo: Config.%s is negative", name)
		}
		return cmp.Or(v, def), err
	}
	var err error
	ints := []struct {
		name string
		at   *int
		def  int
	}{
		{"Liveness", &c.Liveness, 3},
		{"MaxServices", &c.MaxServices, 10_000},
		{"MaxMessageBytes", &c.MaxMessageBytes, 16 << 20},
		{"MaxQueued", &c.MaxQueued, 1_000_000},
		{"MaxCallerQueued", &c.MaxCallerQueued, 100_000},
		{"MaxCapacity", &c.MaxCapacity, 65_536},
		{"MaxWorkerServices", &c.MaxWorkerServices, 1_000},
		{"MaxStrays", &c.MaxStrays, 3},
		{"MaxPartialBytes", &c.MaxPartialBytes, 1 << 20},
		{"WindowEntries", &c.WindowEntries, 100_000},
		{"MaxQuarantined", &c.MaxQuarantined, 1_000},
		{"MaxListed", &c.MaxListed, 100},
		{"Service.MaxQueued", &c.Service.MaxQueued, 100_000},
		{"Service.Attempts", &c.Service.Attempts, 3},
	}
	for _, v := range ints {
		var n int64
		n, err = positive(err, v.name, int64(*v.at), int64(v.def))
		*v.at = int(n)
	}
	sizes := []struct {
		name string
		at   *int64
		def  int64
	}{
		{"MaxQueuedBytes", &c.MaxQueuedBytes, 1 << 30},
		{"MaxCallerBytes", &c.MaxCallerBytes, 256 << 20},
		{"WindowBytes", &c.WindowBytes, 64 << 20},
		{"QuarantineBytes", &c.QuarantineBytes, 64 << 20},
		{"Service.MaxQueuedBytes", &c.Service.MaxQueuedBytes, 256 << 20},
	}
	for _, v := range sizes {
		*v.at, err = positive(err, v.name, *v.at, v.def)
	}
	times := []struct {
		name string
		at   *time.Duration
		def  time.Duration
	}{
		{"HeartbeatInterval", &c.HeartbeatInterval, 2500 * time.Millisecond},
		{"BusyLimit", &c.BusyLimit, 15 * time.Minute},
		{"QueueTimeout", &c.QueueTimeout, 30 * time.Second},
		{"NoWorkerWait", &c.NoWorkerWait, 5 * time.Second},
		{"ServiceMemory", &c.ServiceMemory, time.Hour},
		{"WindowAge", &c.WindowAge, 10 * time.Minute},
	}
	for _, v := range times {
		var n int64
		n, err = positive(err, v.name, int64(*v.at), int64(v.def))
		*v.at = time.Duration(n)
	}
	if err == nil && c.HeartbeatInterval < 2*time.Millisecond {
		err = fmt.Errorf("majordomo: Config.HeartbeatInterval is %v, less than 2ms", c.HeartbeatInterval)
	}
	if err == nil && c.MaxCapacity > maxSlots {
		err = fmt.Errorf("majordomo: Config.MaxCapacity is %d, more than %d", c.MaxCapacity, maxSlots)
	}
	if err == nil && c.MaxWorkerServices > maxWorkerServices {
		err = fmt.Errorf("majordomo: Config.MaxWorkerServices is %d, more than %d", c.MaxWorkerServices, maxWorkerServices)
	}
	if err == nil && c.Service.BusyLimit < 0 {
		err = fmt.Errorf("majordomo: Config.Service.BusyLimit is negative")
	}
	c.Service.BusyLimit = cmp.Or(c.Service.BusyLimit, c.BusyLimit)
	services := make(map[string]ServiceConfig, len(c.Services))
	for name, s := range c.Services {
		if (s.MaxQueued < 0 || s.MaxQueuedBytes < 0 || s.Attempts < 0 || s.BusyLimit < 0) && err == nil {
			err = fmt.Errorf("majordomo: Config.Services[%q] has a negative member", name)
		}
		s.MaxQueued = cmp.Or(s.MaxQueued, c.Service.MaxQueued)
		s.MaxQueuedBytes = cmp.Or(s.MaxQueuedBytes, c.Service.MaxQueuedBytes)
		s.Attempts = cmp.Or(s.Attempts, c.Service.Attempts)
		s.BusyLimit = cmp.Or(s.BusyLimit, c.Service.BusyLimit)
		services[name] = s
	}
	c.Services = services
	return c, err
}

// expiry is how long a peer may be silent.
func (c *Config) expiry() time.Duration {
	return time.Duration(c.Liveness) * c.HeartbeatInterval
}

func (c *Config) service(name string) ServiceConfig {
	if s, ok := c.Services[name]; ok {
		return s
	}
	return c.Service
}
