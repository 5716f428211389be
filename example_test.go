package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/transport"
	"github.com/mdpmesh/mesh/transport/inproc"
)

type TeaOrder struct {
	Kind  string `json:"kind" enum:"black,green"`
	Sugar int    `json:"sugar" minimum:"0" maximum:"3"`
}

type TeaCup struct {
	Text string `json:"text"`
}

// Brew stands on both sides: a service serves it, and clients call it.
var Brew = mesh.NewMethod[TeaOrder, TeaCup]("tea.brew", mesh.Doc("Brews one cup."), mesh.Idempotent())

func brewTea(_ context.Context, o TeaOrder) (TeaCup, error) {
	return TeaCup{Text: fmt.Sprintf("%s tea with %d sugar", o.Kind, o.Sugar)}, nil
}

func orderTea(ctx context.Context) (TeaCup, error) {
	tea := mesh.NewService("tea").Handle(Brew.With(brewTea))
	m, err := mesh.Start(ctx, mesh.Config{}, tea) // a broker, a worker and a client
	if err != nil {
		return TeaCup{}, err
	}
	cup, err := Brew.Call(ctx, m.Client(), TeaOrder{Kind: "green", Sugar: 1})
	return cup, errors.Join(err, m.Stop(ctx))
}

func Example() {
	cup, err := orderTea(context.Background())
	fmt.Println(cup.Text, err)
	// Output: green tea with 1 sugar <nil>
}

// The code that README.md shows is the code above.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	here, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := strings.Split(string(readme), "```go\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		code, _, ended := strings.Cut(block, "```")
		require.True(t, ended)
		require.Contains(t, string(here), code)
	}
}

// stopMesh ends the mesh of an example.
func stopMesh(m *mesh.Mesh) {
	if err := m.Stop(context.Background()); err != nil {
		panic(err)
	}
}

func ExampleStart() {
	ctx := context.Background()
	tea := mesh.NewService("tea").Handle(Brew.With(brewTea))
	m, err := mesh.Start(ctx, mesh.Config{Client: mesh.ClientConfig{Name: "till"}}, tea)
	if err != nil {
		fmt.Println(err)
		return
	}
	cup, err := Brew.Call(ctx, m.Client(), TeaOrder{Kind: "black"})
	fmt.Println(cup.Text, err)
	fmt.Println(m.Stop(ctx))
	// Output:
	// black tea with 0 sugar <nil>
	// <nil>
}

func ExampleMesh() {
	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)

	// Two workers of one service take turns.
	for _, name := range []string{"kitchen-1", "kitchen-2"} {
		who := mesh.NewService("kitchen").HandleRaw("who", func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.Marshal(name)
		})
		if _, err := m.AddWorker(ctx, mesh.WorkerConfig{Instance: name}, who); err != nil {
			fmt.Println(err)
			return
		}
	}
	for range 3 {
		var name string
		err := m.Client().Call(ctx, "kitchen.who", nil, &name)
		fmt.Println(name, err)
	}
	// Output:
	// kitchen-1 <nil>
	// kitchen-2 <nil>
	// kitchen-1 <nil>
}

func ExampleNewMethod() {
	type Glass struct {
		Millilitres int           `json:"ml" minimum:"50" maximum:"500"`
		Chill       time.Duration `json:"chill,omitzero" default:"PT5M"`
	}
	pour := mesh.NewMethod[Glass, string]("water.pour", mesh.Doc("Fills one glass."))
	fmt.Println(pour.Name())

	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{}, mesh.NewService("water").Handle(
		pour.With(func(_ context.Context, g Glass) (string, error) {
			return fmt.Sprintf("%d ml, chilled for %v", g.Millilitres, g.Chill), nil
		}),
	))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	fmt.Println(pour.Call(ctx, m.Client(), Glass{Millilitres: 200}))

	// What doesn't fit the contract never reaches the handler.
	_, err = pour.Call(ctx, m.Client(), Glass{Millilitres: 5000})
	for _, f := range mesh.Faults(err) {
		fmt.Println(f.Path, f.Message)
	}
	// Output:
	// water.pour
	// 200 ml, chilled for 5m0s <nil>
	// /ml must be at most 500
}

func ExampleMethod_Call() {
	ctx := context.Background()
	steep := mesh.NewMethod[TeaOrder, TeaCup]("tea.steep")
	tea := mesh.NewService("tea").Handle(steep.With(func(ctx context.Context, _ TeaOrder) (TeaCup, error) {
		<-ctx.Done() // the caller's time is over
		return TeaCup{}, context.Cause(ctx)
	}))
	m, err := mesh.Start(ctx, mesh.Config{}, tea)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)

	_, err = steep.Call(ctx, m.Client(), TeaOrder{Kind: "black"}, mesh.Timeout(10*time.Millisecond))
	fmt.Println(errors.Is(err, mesh.ErrTimeout), errors.Is(err, context.DeadlineExceeded))
	if e, ok := errors.AsType[*mesh.Error](err); ok {
		fmt.Println(e.Code)
	}
	// Output:
	// true true
	// expired
}

func ExampleMethod_Go() {
	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{}, mesh.NewService("tea").Handle(Brew.With(brewTea)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)

	black := Brew.Go(ctx, m.Client(), TeaOrder{Kind: "black"})
	green := Brew.Go(ctx, m.Client(), TeaOrder{Kind: "green"})
	fmt.Println(black.Wait())
	fmt.Println(green.Wait())
	// Output:
	// {black tea with 0 sugar} <nil>
	// {green tea with 0 sugar} <nil>
}

func ExampleStreamMethod() {
	type Glass struct {
		Millilitres int `json:"ml"`
	}
	pour := mesh.NewStream[Glass, int]("water.pour")

	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{}, mesh.NewService("water").Handle(
		pour.With(func(_ context.Context, g Glass) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for ml := 50; ml <= g.Millilitres; ml += 50 {
					if !yield(ml, nil) {
						return // nobody drinks any more
					}
				}
			}
		}),
	))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	for ml, err := range pour.Call(ctx, m.Client(), Glass{Millilitres: 200}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ml)
	}
	// Output:
	// 50
	// 100
	// 150
	// 200
}

func ExampleService_HandleRaw() {
	ctx := context.Background()
	till := mesh.NewService("till").HandleRaw("count",
		func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil },
		mesh.Params(json.RawMessage(`{"type":"object","required":["coins"]}`)))
	m, err := mesh.Start(ctx, mesh.Config{}, till)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)

	result, err := m.Client().CallRaw(ctx, "till.count", json.RawMessage(`{"coins":[1,2,5]}`))
	fmt.Printf("%s %v\n", result, err)
	_, err = m.Client().CallRaw(ctx, "till.count", nil)
	fmt.Println(err)
	// Output:
	// {"coins":[1,2,5]} <nil>
	// mesh: invalid params: /coins is required
}

// Frames in, frames out: what plain Majordomo has.
func ExampleService_HandleOpaque() {
	ctx := context.Background()
	echo := mesh.NewService("echo").HandleOpaque(func(_ context.Context, body [][]byte) ([][]byte, error) { return body, nil })
	m, err := mesh.Start(ctx, mesh.Config{}, echo)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	reply, err := m.Client().Request(ctx, "echo", [][]byte{[]byte("one"), []byte("two")})
	fmt.Printf("%s %v\n", reply, err)
	// Output: [one two] <nil>
}

// A broker, a worker and a client, each of which could be a process of its own.
func ExampleBroker() {
	ctx := context.Background()
	network := inproc.New(inproc.Config{})
	brokers := []transport.Endpoint{{Addr: "inproc://broker"}}

	broker, err := mesh.NewBroker(mesh.BrokerConfig{ID: "b1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := network.Listen(ctx, brokers[0].Addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- broker.Serve(ctx, listener) }()

	worker, err := mesh.NewWorker(mesh.WorkerConfig{Transport: network, Brokers: brokers},
		mesh.NewService("tea").Handle(Brew.With(brewTea)))
	if err != nil {
		fmt.Println(err)
		return
	}
	ran := make(chan error)
	go func() { ran <- worker.Run(ctx) }()

	client, err := mesh.NewClient(mesh.ClientConfig{Transport: network, Brokers: brokers})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(Brew.Call(ctx, client, TeaOrder{Kind: "green"})) // waits for the worker

	fmt.Println("client:", client.Close())
	fmt.Println("worker:", worker.Shutdown(ctx), <-ran)
	fmt.Println("broker:", broker.Shutdown(ctx), <-served)
	// Output:
	// {green tea with 0 sugar} <nil>
	// client: <nil>
	// worker: <nil> <nil>
	// broker: <nil> <nil>
}

func ExampleBroker_Subscribe() {
	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{}, mesh.NewService("tea").Handle(Brew.With(brewTea)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)

	events := m.Broker().Subscribe(0)
	defer events.Close()
	if _, err := Brew.Call(ctx, m.Client(), TeaOrder{Kind: "green"}); err != nil {
		fmt.Println(err)
	}
	for e := range events.Events() {
		fmt.Printf("request %d, %s: %v\n", e.Request, e.Method, e.Kind)
		if e.Kind == mesh.EventReplied {
			break
		}
	}
	fmt.Println(events.Lost(), "events lost")
	// Output:
	// request 1, tea.brew: received
	// request 1, tea.brew: dispatched
	// request 1, tea.brew: replied
	// 0 events lost
}

func ExampleBroker_Snapshot() {
	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{}, mesh.NewService("tea").Handle(Brew.With(brewTea)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	s, err := m.Broker().Snapshot(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, service := range s.Services {
		fmt.Printf("%s: %d worker, %d queued\n", service.Name, service.Workers, service.Queued)
	}
	// Output: tea: 1 worker, 0 queued
}

// A worker that stops finishes what it is running.
func ExampleWorker_Shutdown() {
	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)

	running, finish := make(chan struct{}), make(chan struct{})
	worker, err := m.AddWorker(ctx, mesh.WorkerConfig{}, mesh.NewService("tea").Handle(
		Brew.With(func(ctx context.Context, o TeaOrder) (TeaCup, error) {
			close(running)
			<-finish
			return brewTea(ctx, o)
		}),
	))
	if err != nil {
		fmt.Println(err)
		return
	}
	cup := Brew.Go(ctx, m.Client(), TeaOrder{Kind: "black"})
	<-running
	stopped := make(chan error)
	go func() { stopped <- worker.Shutdown(ctx) }()
	close(finish)
	fmt.Println(<-stopped)
	fmt.Println(cup.Wait())
	// Output:
	// <nil>
	// {black tea with 0 sugar} <nil>
}

// A method that is known by its name only.
func ExampleClient_Call() {
	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{}, mesh.NewService("tea").Handle(Brew.With(brewTea)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)

	var cup TeaCup
	err = m.Client().Call(ctx, "tea.brew", map[string]any{"kind": "black", "sugar": 2}, &cup)
	fmt.Println(cup.Text, err)
	err = m.Client().Call(ctx, "tea.drink", nil, nil)
	fmt.Println(errors.Is(err, mesh.ErrNoMethod))
	// Output:
	// black tea with 2 sugar <nil>
	// true
}

// A service is paused at each broker, by a client that knows that broker alone.
func ExampleClient_Pause() {
	ctx := context.Background()
	network := inproc.New(inproc.Config{})
	brokers := []transport.Endpoint{{Addr: "inproc://b1"}, {Addr: "inproc://b2"}}
	var meshes []*mesh.Mesh
	defer func() {
		for _, m := range meshes {
			stopMesh(m)
		}
	}()
	for _, at := range brokers {
		m, err := mesh.Start(ctx, mesh.Config{Transport: network, Listen: []string{at.Addr}},
			mesh.NewService("tea").Handle(Brew.With(brewTea)))
		if err != nil {
			fmt.Println(err)
			return
		}
		meshes = append(meshes, m)
	}

	for _, broker := range brokers {
		c, err := mesh.NewClient(mesh.ClientConfig{Transport: network, Brokers: []transport.Endpoint{broker}})
		if err != nil {
			fmt.Println(err)
			return
		}
		err = c.Pause(ctx, "tea")
		if errors.Is(err, mesh.ErrNoService) {
			err = nil // this broker has never heard of it
		}
		fmt.Println("paused at", broker.Addr, err)
		_ = c.Close() // it never fails
	}

	all, err := mesh.NewClient(mesh.ClientConfig{Transport: network, Brokers: brokers})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = all.Close() }()
	_, err = Brew.Call(ctx, all, TeaOrder{Kind: "green"}, mesh.Timeout(50*time.Millisecond))
	fmt.Println("out of time:", errors.Is(err, mesh.ErrTimeout))
	// Output:
	// paused at inproc://b1 <nil>
	// paused at inproc://b2 <nil>
	// out of time: true
}

func ExampleClient_Notify() {
	ctx := context.Background()
	rung := make(chan string, 1)
	bell := mesh.NewService("bell").HandleRaw("ring", func(_ context.Context, params json.RawMessage) (json.RawMessage, error) {
		rung <- string(params)
		return nil, nil // nobody hears of it
	})
	m, err := mesh.Start(ctx, mesh.Config{}, bell)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	fmt.Println(m.Client().Notify(ctx, "bell.ring", map[string]int{"times": 3}))
	fmt.Println(<-rung)
	// Output:
	// <nil>
	// {"times":3}
}

// A call with a key runs once, however often it is made.
func ExampleKey() {
	type Sale struct {
		Item string `json:"item"`
	}
	sell := mesh.NewMethod[Sale, int]("till.sell")
	var receipts int
	till := mesh.NewService("till").Handle(sell.With(func(context.Context, Sale) (int, error) {
		receipts++
		return receipts, nil
	}))

	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{}, till)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	for range 2 {
		fmt.Println(sell.Call(ctx, m.Client(), Sale{Item: "tea"}, mesh.Key("order-4711")))
	}
	_, err = sell.Call(ctx, m.Client(), Sale{Item: "cake"}, mesh.Key("order-4711"))
	fmt.Println(errors.Is(err, mesh.ErrKeyConflict))
	// Output:
	// 1 <nil>
	// 1 <nil>
	// true
}

func ExampleErrors() {
	errSoldOut := errors.New("sold out")
	var errs mesh.Errors
	errs.Add(1001, errSoldOut) // both sides have to know the code

	ctx := context.Background()
	cfg := mesh.Config{
		Worker: mesh.WorkerConfig{Errors: &errs},
		Client: mesh.ClientConfig{Errors: &errs},
	}
	m, err := mesh.Start(ctx, cfg, mesh.NewService("tea").Handle(
		Brew.With(func(_ context.Context, o TeaOrder) (TeaCup, error) {
			return TeaCup{}, fmt.Errorf("%s tea is %w", o.Kind, errSoldOut)
		}),
	))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	_, err = Brew.Call(ctx, m.Client(), TeaOrder{Kind: "green"})
	fmt.Println(errors.Is(err, errSoldOut))
	fmt.Println(err)
	// Output:
	// true
	// mesh: code 1001: green tea is sold out
}

// SoldOutError says what is left. Its fields cross the wire as JSON.
type SoldOutError struct {
	Left []string `json:"left"`
}

func (e *SoldOutError) Error() string { return "sold out" }

func ExampleAddErrorType() {
	var errs mesh.Errors
	mesh.AddErrorType[*SoldOutError](&errs, 1002)

	ctx := context.Background()
	cfg := mesh.Config{
		Worker: mesh.WorkerConfig{Errors: &errs},
		Client: mesh.ClientConfig{Errors: &errs},
	}
	m, err := mesh.Start(ctx, cfg, mesh.NewService("tea").Handle(
		Brew.With(func(context.Context, TeaOrder) (TeaCup, error) {
			return TeaCup{}, &SoldOutError{Left: []string{"black"}}
		}),
	))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	_, err = Brew.Call(ctx, m.Client(), TeaOrder{Kind: "green"})
	if soldOut, ok := errors.AsType[*SoldOutError](err); ok {
		fmt.Println("there is still", soldOut.Left)
	}
	// Output: there is still [black]
}

func ExampleInterceptor() {
	trace := func(next mesh.Invoker) mesh.Invoker {
		return func(ctx context.Context, in *mesh.Invocation) (json.RawMessage, error) {
			fmt.Printf("%s.%s: %s\n", in.Service, in.Method, in.Params)
			result, err := next(ctx, in)
			fmt.Printf("%s.%s: %s, %v\n", in.Service, in.Method, result, err)
			return result, err
		}
	}
	ctx := context.Background()
	cfg := mesh.Config{Worker: mesh.WorkerConfig{Interceptors: []mesh.Interceptor{trace}}}
	m, err := mesh.Start(ctx, cfg, mesh.NewService("tea").Handle(Brew.With(brewTea)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	if _, err := Brew.Call(ctx, m.Client(), TeaOrder{Kind: "green"}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// tea.brew: {"kind":"green","sugar":0}
	// tea.brew: {"text":"green tea with 0 sugar"}, <nil>
}

func ExampleWithStrings() {
	table := mesh.NewService("tea").HandleRaw("table", func(ctx context.Context, _ json.RawMessage) (json.RawMessage, error) {
		r, _ := mesh.RequestFrom(ctx)
		return json.Marshal(r.Claimed + " at table " + r.Strings["table"])
	})
	ctx := context.Background()
	m, err := mesh.Start(ctx, mesh.Config{Client: mesh.ClientConfig{Name: "Thandi"}}, table)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stopMesh(m)
	var text string
	err = m.Client().Call(mesh.WithStrings(ctx, map[string]string{"table": "4"}), "tea.table", nil, &text)
	fmt.Println(text, err)
	// Output: Thandi at table 4 <nil>
}
