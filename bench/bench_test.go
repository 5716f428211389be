package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the tests start this program's other processes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleArgument {
		if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		require.Equal(t, c.want, median(c.values), "%v", c.values)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	hundred := make([]uint32, 100)
	for i := range hundred {
		hundred[i] = uint32(i)
	}
	require.Equal(t, time.Duration(50), quantile(hundred, 0.50))
	require.Equal(t, time.Duration(99), quantile(hundred, 0.99))
	require.Equal(t, time.Duration(7), quantile([]uint32{7}, 0.99))
	require.Equal(t, time.Duration(7), quantile([]uint32{7}, 1))
}

func TestFigures(t *testing.T) {
	t.Parallel()
	s := sample{
		calls: 2000, elapsed: 500 * time.Millisecond, cpu: 100 * time.Millisecond,
		p50: 1500 * time.Nanosecond, p99: 2 * time.Millisecond,
	}
	require.Equal(t, figures{Rate: 4000, P50: 1.5, P99: 2000, CPU: 50}, s.figures())
	require.Zero(t, sample{}.figures())
}

// TestRatios has a slow second round, which the ratio doesn't show as both
// systems met it, and a third that failed.
func TestRatios(t *testing.T) {
	t.Parallel()
	rows := []row{
		{System: "a", Against: "b"},
		{System: "b", Against: "b"},
		{System: "c", Against: "not measured"},
		{System: "d", Against: "b"},
	}
	for round := range 3 {
		slow := float64(1 + round)
		rows[0].Rounds = append(rows[0].Rounds, figures{Rate: 600 / slow, P50: 10 * slow, P99: 20 * slow, CPU: 3 * slow})
		rows[1].Rounds = append(rows[1].Rounds, figures{Rate: 300 / slow, P50: 20 * slow, P99: 20 * slow, CPU: 4 * slow})
	}
	rows[0].Rounds[2] = figures{}
	rows[0].add(sample{}, errors.New("lost"))
	rows[3].add(sample{}, errors.New("lost"))
	compareRows(rows)

	require.Equal(t, figures{Rate: 450, P50: 15, P99: 30, CPU: 4.5}, rows[0].Median)
	require.Equal(t, &figures{Rate: 2, P50: 0.5, P99: 1, CPU: 0.75}, rows[0].Ratio)
	require.Equal(t, "lost", rows[0].Error)
	require.Equal(t, &figures{Rate: 1, P50: 1, P99: 1, CPU: 1}, rows[1].Ratio)
	require.Nil(t, rows[2].Ratio)
	require.Nil(t, rows[3].Ratio)
	require.Zero(t, rows[3].Median)
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := report{
		Rows: []row{{
			System: "mesh-zmtp-raw", Against: natsRaw, Size: 128, InFlight: 64,
			Median: figures{Rate: 1000, P50: 2, P99: 3, CPU: 4}, Ratio: &figures{Rate: 2.5, P50: 1, P99: 1, CPU: 1}, Error: "lost",
		}},
		Idle:   []idleRow{{System: "mesh-zmtp-raw", Clients: 10, PerClient: 2048}},
		Absent: map[string]string{"c-libzmq": "no compiler"},
	}
	var text, asJSON bytes.Buffer
	require.NoError(t, r.writeText(&text))
	for _, want := range []string{"128 bytes, 64 in flight", "2.50", "in flight: lost", "2.0", "c-libzmq: no compiler"} {
		require.Contains(t, text.String(), want)
	}
	require.NoError(t, r.writeJSON(&asJSON))
	var back report
	require.NoError(t, json.Unmarshal(asJSON.Bytes(), &back))
	require.Equal(t, r, back)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"-quick", "-rounds", "7", "-systems", "grpc,nats-*", "-size", "128, 1024"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 7, o.rounds)
	require.Equal(t, 200*time.Millisecond, o.duration)
	require.Equal(t, []int{128, 1024}, o.sizes)
	require.Equal(t, []string{natsRaw, "grpc", natsTyped, natsTLS, natsInproc}, names(o.systems))
	for _, bad := range [][]string{{"-systems", "rest"}, {"-size", "1"}, {"-inflight", "x"}, {"-rounds", "0"}, {"-size", ""}, {"extra"}} {
		_, err := parseOptions(bad, io.Discard)
		require.Error(t, err, "%v", bad)
	}
}

func TestMessageSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{smallestPayload, 1024} {
		text, err := json.Marshal(newMessage(size))
		require.NoError(t, err)
		require.Len(t, text, size)
		require.Len(t, payload(size), size)
		require.True(t, json.Valid(payload(size)))
	}
}

func TestMeasureInOneProcess(t *testing.T) {
	t.Parallel()
	connections, err := meshAlone(rawConnections(echoRaw))(t.Context(), setting{Clients: 2, Workers: 2, Capacity: 4})
	require.NoError(t, err)
	s, err := measure(t.Context(), connections, load{size: 128, inFlight: 4, warmUp: 10 * time.Millisecond, duration: 50 * time.Millisecond})
	require.NoError(t, err)
	require.Positive(t, s.calls)
	require.Positive(t, s.cpu)
	require.GreaterOrEqual(t, s.elapsed, 50*time.Millisecond)
	require.LessOrEqual(t, s.p50, s.p99)
}

func TestMeasureReportsErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := measure(t.Context(), []connection{func(int) func() error { return func() error { return broken } }},
		load{size: 128, inFlight: 2, duration: time.Millisecond})
	require.ErrorIs(t, err, broken)
}

func TestCompareProcesses(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{
		"-systems", "mesh-zmtp-raw,nats-raw", "-inflight", "4", "-rounds", "1", "-warmup", "10ms", "-duration", "50ms",
		"-clients", "2", "-workers", "2", "-profile", t.TempDir(),
	}, io.Discard)
	require.NoError(t, err)
	rows, absent, err := compare(t.Context(), o, t.TempDir(), io.Discard)
	require.NoError(t, err)
	require.Empty(t, absent)
	require.Len(t, rows, 2)
	for _, r := range rows {
		require.Empty(t, r.Error)
		require.Positive(t, r.Median.Rate)
		require.Positive(t, r.Median.CPU)
		require.NotNil(t, r.Ratio)
	}
	profiles, err := os.ReadDir(o.profile)
	require.NoError(t, err)
	require.Len(t, profiles, 6)
}
