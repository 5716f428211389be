package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
)

// EchoRequest and EchoReply are about 128 bytes of JSON each.
type EchoRequest struct {
	ID    int64    `json:"id" minimum:"1"`
	Name  string   `json:"name" minLength:"1" maxLength:"40"`
	Kind  string   `json:"kind" enum:"black,green,white"`
	Sugar int      `json:"sugar" minimum:"0" maximum:"9"`
	Price float64  `json:"price"`
	Tags  []string `json:"tags"`
	Hot   bool     `json:"hot"`
}

type EchoReply EchoRequest

var (
	echoMethod  = mesh.NewMethod[EchoRequest, EchoReply]("echo.typed", mesh.Idempotent())
	echoInlined = mesh.NewMethod[EchoRequest, EchoReply]("echo.typed_inline", mesh.Idempotent(), mesh.Inline())
)

func startEcho(tb testing.TB) *mesh.Mesh {
	tb.Helper()
	typed := func(_ context.Context, r EchoRequest) (EchoReply, error) { return EchoReply(r), nil }
	raw := func(_ context.Context, params json.RawMessage) (json.RawMessage, error) { return params, nil }
	echo := mesh.NewService("echo").Handle(echoMethod.With(typed), echoInlined.With(typed)).
		HandleRaw("raw", raw).HandleRaw("raw_inline", raw, mesh.Inline())
	m, err := mesh.Start(tb.Context(), mesh.Config{Worker: mesh.WorkerConfig{Capacity: 1024}}, echo)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, m.Stop(context.Background())) })
	return m
}

// inFlight runs call b.N times, n at a time, and reports the rate and the
// latency's quantiles.
func inFlight(b *testing.B, n int, call func() error) {
	b.Helper()
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, n)
	failed := make(chan error, n)
	var callers sync.WaitGroup
	b.ResetTimer()
	for i := range n {
		took[i] = make([]time.Duration, 0, b.N/n+16)
		callers.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				if err := call(); err != nil {
					failed <- err
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	callers.Wait()
	b.StopTimer()
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkCall measures a round trip in one process: client, broker, worker.
// Typed has real JSON both ways and its parameters checked; raw has JSON-RPC
// envelopes around parameters that nobody reads. Handlers of inline methods may run on the
// goroutine that calls.
func BenchmarkCall(b *testing.B) {
	request := EchoRequest{ID: 1234567, Name: "Rooibos from the Cederberg", Kind: "green", Sugar: 2, Price: 12.5, Tags: []string{"warm", "loose"}, Hot: true}
	raw := json.RawMessage(`{"text":"` + strings.Repeat("x", 128-11) + `"}`)
	for _, n := range []int{1, 64, 512} {
		for _, method := range []*mesh.Method[EchoRequest, EchoReply]{echoMethod, echoInlined} {
			b.Run(fmt.Sprintf("%s/%d", strings.TrimPrefix(method.Name(), "echo."), n), func(b *testing.B) {
				m := startEcho(b)
				ctx := context.Background()
				inFlight(b, n, func() error {
					_, err := method.Call(ctx, m.Client(), request)
					return err
				})
			})
		}
		for _, method := range []string{"echo.raw", "echo.raw_inline"} {
			b.Run(fmt.Sprintf("%s/%d", strings.TrimPrefix(method, "echo."), n), func(b *testing.B) {
				m := startEcho(b)
				ctx := context.Background()
				inFlight(b, n, func() error {
					_, err := m.Client().CallRaw(ctx, method, raw)
					return err
				})
			})
		}
	}
}
