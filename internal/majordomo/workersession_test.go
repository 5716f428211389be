package majordomo

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

func TestWorkerSessionConfig(t *testing.T) {
	t.Parallel()
	valid := func() WorkerConfig {
		return WorkerConfig{
			Brokers: 1, Random: func() uint64 { return 0 },
			Registration: Registration{Capacity: 1, Services: workerServices("tea")},
		}
	}
	for name, test := range map[string]struct {
		spoil func(*WorkerConfig)
		says  string
	}{
		"brokers":    {func(c *WorkerConfig) { c.Brokers = -1 }, "Brokers"},
		"random":     {func(c *WorkerConfig) { c.Random = nil }, "Random"},
		"speak":      {func(c *WorkerConfig) { c.Speak = 3 }, "Speak(3)"},
		"services":   {func(c *WorkerConfig) { c.Registration.Services = nil }, "no service"},
		"capacity":   {func(c *WorkerConfig) { c.Registration.Capacity = 0 }, "Capacity"},
		"interval":   {func(c *WorkerConfig) { c.HeartbeatInterval = -1 }, "negative duration"},
		"tiny":       {func(c *WorkerConfig) { c.HeartbeatInterval = time.Millisecond }, "HeartbeatInterval is 1ms"},
		"places":     {func(c *WorkerConfig) { c.MaxBrokers = -1 }, "negative count"},
		"liveness":   {func(c *WorkerConfig) { c.Liveness = -1 }, "negative count"},
		"parts":      {func(c *WorkerConfig) { c.MaxPartialBytes = -1 }, "negative count"},
		"busy":       {func(c *WorkerConfig) { c.BusyLimit = -1 }, "negative duration"},
		"dial":       {func(c *WorkerConfig) { c.DialTimeout = -1 }, "negative duration"},
		"redial min": {func(c *WorkerConfig) { c.RedialMin = -1 }, "negative duration"},
		"redial max": {func(c *WorkerConfig) { c.RedialMax = -1 }, "negative duration"},
		"shift min":  {func(c *WorkerConfig) { c.ShiftMin = -1 }, "negative duration"},
		"shift max":  {func(c *WorkerConfig) { c.ShiftMax = -1 }, "negative duration"},
		"bad schema": {func(c *WorkerConfig) {
			c.Registration.Services[0].Methods = []MethodDoc{{Params: json.RawMessage("{")}}
		}, "can't be written"},
		"all is well": {func(*WorkerConfig) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := valid()
			test.spoil(&cfg)
			s, err := NewWorkerSession(cfg, time.Unix(0, 0))
			if test.says != "" {
				require.ErrorContains(t, err, test.says)
				return
			}
			require.NoError(t, err)
			want := valid()
			want.Random = nil
			want.MaxBrokers = 64
			want.HeartbeatInterval, want.Liveness, want.BusyLimit = 2500*time.Millisecond, 3, 15*time.Minute
			want.DialTimeout, want.RedialMin, want.RedialMax = 5*time.Second, 100*time.Millisecond, 30*time.Second
			want.ShiftMin, want.ShiftMax = 50*time.Millisecond, time.Second
			want.MaxPartialBytes = 1 << 20
			s.cfg.Random = nil
			require.Equal(t, want, s.cfg)
			require.Zero(t, s.NextWake(), "it waits to be started")
		})
	}
}

func TestWorkerSessionStarts(t *testing.T) {
	t.Parallel()
	b := newIdleWorker(t, WorkerConfig{})
	require.Empty(t, b.wake())
	a := b.step(&WorkerEvent{Kind: WorkerStart})
	require.Equal(t, []WorkerAction{{Kind: WorkerDial, Conn: 1, Broker: 0}}, a)
	require.Empty(t, b.step(&WorkerEvent{Kind: WorkerStart}), "started twice")

	require.Equal(t, []string{"mmi.register", "ready"}, workerKinds(b.dialed(1)), "READY doesn't wait for an answer")
	require.Equal(t, "tea", string(b.lastSend().Service))
	offer := b.conns[1].offers[0]
	require.Equal(t, 2, offer.Capacity)
	require.Equal(t, b.cfg.Registration.Services, offer.Services)

	a = b.answer(1, &Registered{Broker: "b", Incarnation: "7", HeartbeatMS: 100, Liveness: 2})
	require.Equal(t, []string{"accepted"}, workerKinds(a))
	require.Equal(t, "7", a[0].Registered.Incarnation)
	require.Empty(t, b.step(&WorkerEvent{Kind: WorkerStart}), "started twice")
}

func TestWorkerSessionDialFails(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{Random: func() uint64 { return uint64(50 * time.Millisecond) }})
	for n := uint64(1); n < 6; n++ {
		require.Empty(t, workerKinds(b.dialFailed(n)))
		require.ErrorIs(t, b.lastNote().Err, errWorkerCut)
		require.Contains(t, b.lastNote().Text, "to be dialled again in 50ms")
		require.Empty(t, b.pass(49*time.Millisecond))
		require.Equal(t, []string{"dial"}, workerKinds(b.pass(time.Millisecond)))
		require.Empty(t, b.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: n, Err: errWorkerCut}), "it was said before")
	}
	b.serve()
	require.Len(t, b.accepted, 1)
}

func TestWorkerSessionDialTimeout(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{DialTimeout: time.Second})
	require.Empty(t, b.pass(999*time.Millisecond))
	require.Equal(t, []string{"hangup"}, workerKinds(b.pass(time.Millisecond)))
	require.ErrorContains(t, b.lastNote().Err, "no connection within 1s")
	require.Equal(t, []string{"dial"}, workerKinds(b.pass(time.Millisecond)))
	require.Equal(t, []string{"hangup"}, workerKinds(b.dialed(1)), "too late")
	require.Empty(t, b.step(&WorkerEvent{Kind: WorkerLost, Conn: 1, Err: errWorkerCut}))
	b.serve()
	require.Len(t, b.accepted, 1)
}

// TestWorkerSessionBackoff has a broker that can't be reached: the waits grow up to
// their limit, and begin anew once a connection has lasted.
func TestWorkerSessionBackoff(t *testing.T) {
	t.Parallel()
	b := newWorkerBed(t, WorkerConfig{HeartbeatInterval: time.Second, RedialMin: time.Second, RedialMax: 10 * time.Second, Random: func() uint64 { return 1<<63 - 1 }})
	for _, seconds := range []uint64{1, 2, 4, 8, 10, 10} {
		b.dialFailed(b.last)
		wait := b.s.NextWake().Sub(b.now)
		require.EqualValues(t, (1<<63-1)%(seconds*uint64(time.Second)), wait)
		b.pass(wait)
	}
	live := func(d time.Duration) {
		b.serve()
		for b.heartbeat(); d > 0; d -= time.Second {
			b.pass(min(d, time.Second))
			b.heartbeat()
		}
		b.cut(b.last)
	}
	live(2900 * time.Millisecond)
	require.EqualValues(t, (1<<63-1)%uint64(10*time.Second), b.s.NextWake().Sub(b.now), "it didn't last")
	b.pass(10 * time.Second)
	live(3 * time.Second)
	require.EqualValues(t, (1<<63-1)%uint64(time.Second), b.s.NextWake().Sub(b.now))
}

// TestWorkerSessionUseless has brokers that are of no use though they can be
// reached: they mustn't be dialled over and over without a pause.
func TestWorkerSessionUseless(t *testing.T) {
	t.Parallel()
	joining := func(body string) func(*workerBed) []WorkerAction {
		return func(b *workerBed) []WorkerAction {
			b.dialed(b.last)
			return b.mmi(body)
		}
	}
	disconnect := func(b *workerBed) []WorkerAction {
		b.serve()
		return b.command(mdp.Command{Kind: mdp.Disconnect})
	}
	for name, test := range map[string]struct {
		speak Speak
		turn  func(*workerBed) []WorkerAction
		says  string
	}{
		"drain":              {SpeakMesh, joining(`{"jsonrpc":"2.0","id":1,"error":{"code":-32007,"message":"drains"}}`), "drains (-32007)"},
		"404":                {SpeakMesh, joining("404"), "with 404"},
		"no envelope":        {SpeakMesh, joining("tea?"), "neither JSON-RPC nor a status"},
		"request":            {SpeakMesh, joining(`{"jsonrpc":"2.0","id":1,"method":"x"}`), "neither JSON-RPC nor a status"},
		"wrong result":       {SpeakMesh, joining(`{"jsonrpc":"2.0","id":1,"result":[]}`), "can't be read"},
		"wrong error":        {SpeakMesh, joining(`{"jsonrpc":"2.0","id":1,"error":{}}`), "can't be read"},
		"all refused":        {SpeakMesh, joining(`{"jsonrpc":"2.0","id":1,"result":{"refused":[{"service":"coffee"},{"service":"tea"}]}}`), "the broker refused the registration: service"},
		"disconnects":        {SpeakMesh, disconnect, "disconnected the worker"},
		"disconnects plain":  {SpeakMDP02, disconnect, "disconnected the worker"},
		"disconnects MDP0.1": {SpeakMDP01, disconnect, "disconnected the worker"},
		"vanishes":           {SpeakMesh, func(b *workerBed) []WorkerAction { b.serve(); return b.cut(b.last) }, "cut"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newWorkerBed(t, WorkerConfig{
				Speak: test.speak, RedialMin: time.Second, Random: func() uint64 { return uint64(50 * time.Millisecond) },
			})
			for range 10 {
				require.Equal(t, []string{"hangup"}, workerKinds(test.turn(b)))
				require.ErrorContains(t, b.lastNote().Err, test.says)
				require.Empty(t, b.pass(49*time.Millisecond))
				require.Equal(t, []string{"dial"}, workerKinds(b.pass(time.Millisecond)))
			}
			require.Equal(t, 10, b.link().redial.failures)
			b.serve()
			b.heartbeat()
			require.Equal(t, 10, b.link().redial.failures)
			b.pass(7 * time.Second)
			require.Equal(t, 10, b.link().redial.failures)
			b.pass(499 * time.Millisecond)
			b.heartbeat()
			require.Equal(t, 10, b.link().redial.failures)
			b.pass(time.Millisecond)
			b.heartbeat()
			require.Zero(t, b.link().redial.failures)
		})
	}
}

func TestWorkerSessionHeartbeats(t *testing.T) {
	t.Parallel()
	for _, speak := range []Speak{SpeakMesh, SpeakMDP02, SpeakMDP01} {
		t.Run(speak.String(), func(t *testing.T) {
			t.Parallel()
			b := newServingWorker(t, WorkerConfig{Speak: speak, HeartbeatInterval: time.Second})
			for range 3 {
				require.Empty(t, b.pass(999*time.Millisecond))
				require.Equal(t, []string{"heartbeat"}, workerKinds(b.pass(time.Millisecond)))
				b.heartbeat()
			}
			j := b.run(workerAsk{token: 1})
			for range 3 {
				require.Equal(t, []string{"heartbeat"}, workerKinds(b.pass(time.Second)), "jobs don't hold it up")
				b.heartbeat()
			}
			b.pass(700 * time.Millisecond)
			b.reply(j, true, "x")
			b.heartbeat()
			require.Empty(t, b.pass(999*time.Millisecond), "the reply was a sign of life")
			require.Equal(t, []string{"heartbeat"}, workerKinds(b.pass(time.Millisecond)))
		})
	}
}

func TestWorkerSessionSilentBroker(t *testing.T) {
	t.Parallel()
	alive := map[string]func(*workerBed){
		"heartbeat": func(b *workerBed) { b.heartbeat() },
		"request":   func(b *workerBed) { b.reply(b.run(workerAsk{token: 1}), true, "x") },
		"control":   func(b *workerBed) { b.control(1, `{"jsonrpc":"2.0","method":"rpc.cancel"}`) },
		"answer":    func(b *workerBed) { b.mmi("200") },
		"partial": func(b *workerBed) {
			b.command(mdp.Command{Kind: mdp.ClientPartial, Service: []byte("mmi.status"), Body: frames("x")})
		},
	}
	for name, sign := range alive {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newServingWorker(t, WorkerConfig{HeartbeatInterval: time.Second, Liveness: 3})
			for range 4 {
				require.Empty(t, workerOthers(b.pass(2900*time.Millisecond)))
				sign(b)
			}
			require.Empty(t, workerOthers(b.pass(2999*time.Millisecond)))
			require.Equal(t, []string{"hangup", "dial"}, workerKinds(b.pass(2*time.Millisecond)))
			require.ErrorContains(t, b.notes[len(b.notes)-1].Err, "silent for 3s")
			require.Equal(t, []string{"hangup"}, workerKinds(b.dialed(1)))
			require.Empty(t, b.message(1, []byte("MDPW02"), []byte{5}), "late words of an old connection")
			b.serve()
			require.Len(t, b.accepted, 2)
		})
	}
}

// workerOthers returns what actions are, without heartbeats.
func workerOthers(actions []WorkerAction) (kinds []string) {
	for _, kind := range workerKinds(actions) {
		if kind != "heartbeat" {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func TestWorkerSessionInvalidIsNoSignOfLife(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{HeartbeatInterval: time.Second})
	for range 6 {
		require.Empty(t, workerOthers(b.pass(499*time.Millisecond)))
		b.message(1, []byte("rubbish"))
	}
	require.Equal(t, []string{"hangup", "dial"}, workerOthers(b.pass(10*time.Millisecond)))
}

func TestWorkerSessionAdoptsHeartbeat(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ms       int64
		liveness int
		interval time.Duration
		limit    time.Duration
	}{
		"short":           {100, 5, 100 * time.Millisecond, 500 * time.Millisecond},
		"shortest":        {1, 1, time.Millisecond, time.Millisecond},
		"long":            {3_600_000, 1000, time.Hour, 1000 * time.Hour},
		"too long":        {3_600_001, 3, time.Second, 3 * time.Second},
		"overflowing":     {1 << 62, 3, time.Second, 3 * time.Second},
		"too patient":     {100, 1001, time.Second, 3 * time.Second},
		"none":            {0, 3, time.Second, 3 * time.Second},
		"no liveness":     {100, 0, time.Second, 3 * time.Second},
		"negative":        {-5, 3, time.Second, 3 * time.Second},
		"negative living": {100, -3, time.Second, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newWorkerBed(t, WorkerConfig{HeartbeatInterval: time.Second})
			b.dialed(1)
			b.answer(1, &Registered{HeartbeatMS: test.ms, Liveness: test.liveness})
			require.Equal(t, test.interval, b.link().interval)
			require.Equal(t, test.limit, b.link().limit())
			require.Equal(t, b.now.Add(test.interval), b.s.NextWake())
			b.cut(1)
			b.pass(time.Microsecond)
			b.dialed(2)
			require.Equal(t, time.Second, b.link().interval, "each broker says what it wants")
		})
	}
}

// TestWorkerSessionBusyPlain keeps a plain broker that sends no heartbeats while
// the worker is busy, as many don't.
func TestWorkerSessionBusyPlain(t *testing.T) {
	t.Parallel()
	for _, speak := range []Speak{SpeakMDP02, SpeakMDP01} {
		t.Run(speak.String(), func(t *testing.T) {
			t.Parallel()
			b := newServingWorker(t, WorkerConfig{Speak: speak, HeartbeatInterval: time.Second, BusyLimit: time.Minute})
			j := b.run(workerAsk{token: 1})
			require.Empty(t, workerOthers(b.pass(59*time.Second)))
			b.reply(j, true, "x")
			require.Empty(t, workerOthers(b.pass(2999*time.Millisecond)), "its time begins again when the worker is idle")
			require.Equal(t, []string{"hangup", "dial"}, workerOthers(b.pass(10*time.Millisecond)))

			b.serve()
			b.run(workerAsk{token: 1})
			require.Empty(t, workerOthers(b.pass(59*time.Second)))
			require.Equal(t, []string{"hangup", "cancel", "dial"}, workerOthers(b.pass(2*time.Second)), "but not for ever")
		})
	}
	mesh := newServingWorker(t, WorkerConfig{HeartbeatInterval: time.Second})
	mesh.run(workerAsk{token: 1})
	require.Equal(t, []string{"hangup", "cancel", "dial"}, workerOthers(mesh.pass(4*time.Second)), "a broker of mesh sends heartbeats")
}

func TestWorkerSessionDisconnected(t *testing.T) {
	t.Parallel()
	for _, speak := range []Speak{SpeakMesh, SpeakMDP02, SpeakMDP01} {
		t.Run(speak.String(), func(t *testing.T) {
			t.Parallel()
			b := newServingWorker(t, WorkerConfig{Speak: speak})
			b.heartbeat()
			j := b.run(workerAsk{token: 1})
			a := b.command(mdp.Command{Kind: mdp.Disconnect})
			require.Equal(t, []string{"hangup", "cancel"}, workerKinds(a), "nothing more is said on it")
			require.ErrorIs(t, b.jobs[j].cancelled, ErrConnectionLost)
			require.Equal(t, []string{"dial"}, workerKinds(b.pass(time.Second)), "on a new connection")
			require.Empty(t, b.reply(j, true, "x"), "nobody waits for it")
			b.serve()
			require.Equal(t, "tea", string(b.conns[2].sends[len(b.conns[2].sends)-1].Service))
		})
	}
}

func TestWorkerSessionOtherVersion(t *testing.T) {
	t.Parallel()
	for speak, other := range map[Speak]mdp.Version{SpeakMesh: mdp.V01, SpeakMDP02: mdp.V01, SpeakMDP01: mdp.V02} {
		b := newServingWorker(t, WorkerConfig{Speak: speak})
		for _, kind := range []mdp.Kind{mdp.Disconnect, mdp.Heartbeat} {
			require.Empty(t, workerKinds(b.command(mdp.Command{Version: other, Kind: kind})))
			require.ErrorIs(t, b.lastNote().Err, errOtherVersion)
			b.pass(time.Second)
		}
	}
}

func TestWorkerSessionInvalidMessages(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	before := len(b.notes)
	rubbish := func() int {
		b.message(1, []byte("MDPW02"), []byte{9})
		return len(b.notes) - before
	}
	require.Equal(t, 1, rubbish())
	require.Equal(t, "invalid message dropped", b.lastNote().Text)
	var parse *mdp.ParseError
	require.ErrorAs(t, b.lastNote().Err, &parse)
	require.Equal(t, 1, rubbish(), "the log isn't flooded")
	b.pass(time.Second)
	require.Equal(t, 2, rubbish())
	b.message(1)
	b.message(77, []byte("rubbish"))
	require.Equal(t, 2, len(b.notes)-before)
}

// TestWorkerSessionLateEvents gives a session what is said of connections that it
// gave up.
func TestWorkerSessionLateEvents(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{})
	b.cut(1)
	late := func() {
		for _, conn := range []uint64{0, 1, 99} {
			require.Empty(t, b.message(conn, []byte("MDPW02"), []byte{6}))
			require.Empty(t, b.step(&WorkerEvent{Kind: WorkerLost, Conn: conn, Err: errWorkerCut}))
			require.Empty(t, b.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: conn, Err: errWorkerCut}))
			require.Empty(t, b.step(&WorkerEvent{Kind: WorkerUnsent, Conn: conn, Err: errWorkerCut}))
		}
		require.Equal(t, []string{"hangup"}, workerKinds(b.dialed(1)))
	}
	late() // while it waits to dial
	b.pass(time.Second)
	late() // while it dials
	require.Empty(t, b.message(2, []byte("MDPW02"), []byte{6}), "before it is connected")
	b.serve()
	late() // while it serves
	require.Empty(t, b.dialed(2), "said twice")
	require.Empty(t, b.step(&WorkerEvent{Kind: WorkerDialFailed, Conn: 2, Err: errWorkerCut}))
	b.step(&WorkerEvent{Kind: WorkerStop})
	for conn := range uint64(3) {
		require.Empty(t, b.message(conn, []byte("MDPW02"), []byte{6}))
		require.Empty(t, b.step(&WorkerEvent{Kind: WorkerLost, Conn: conn, Err: errWorkerCut}))
	}
	require.Empty(t, b.pass(time.Hour))
}

func TestWorkerSessionTimeDoesNotGoBack(t *testing.T) {
	t.Parallel()
	b := newServingWorker(t, WorkerConfig{HeartbeatInterval: time.Second})
	wake := b.s.NextWake()
	b.now = b.now.Add(-time.Hour)
	require.Empty(t, b.s.Step(b.now, &WorkerEvent{Kind: WorkerWake}))
	require.Equal(t, wake, b.s.NextWake())
}
