package main

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	t.Parallel()
	var out, log lockedBuffer
	require.NoError(t, run(t.Context(), []string{"-v", "search", "go developer cape town"}, &out, &log))
	require.Contains(t, out.String(), "\n 1. Go Developer, ")
	require.Contains(t, log.String(), "level=")
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, log lockedBuffer
	require.ErrorIs(t, run(ctx, []string{"search", "chef"}, &out, &log), context.Canceled)
	require.Empty(t, out.String())
}

func TestCommands(t *testing.T) {
	t.Parallel()
	m, err := start(t.Context(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Stop(context.WithoutCancel(t.Context()))) })
	for _, test := range []struct {
		name string
		args []string
		want []string // in this order
		err  string
	}{
		{
			name: "ranked ads, put together by all three services",
			args: []string{"search", "go developer cape town"},
			want: []string{
				"ads for \"go developer cape town\", the best 5:\n",
				"\n 1. Go Developer, Klipspringer Maps (job-0258)\n",
				"    Cape Town, South Africa · permanent · ZAR ",
				"    Go, PostgreSQL, Kubernetes, NATS\n",
				"    posted 2026-10-19 by Oyama Oberholtz, Talent Partner <oyama.oberholtz@klipspringer-maps.example>\n",
				"\n 2. Backend Developer (Go), ",
				"\n 5. ",
			},
		},
		{
			name: "flags before the command",
			args: []string{"-n", "1", "search", "midwife", "polokwane"},
			want: []string{"the best 1:\n", "\n 1. Midwife, Northgate Mother & Child"},
		},
		{
			name: "flags after the command",
			args: []string{"search", "-n", "2", "chef"},
			want: []string{"the best 2:\n", "\n 2. "},
		},
		{
			name: "an unknown word is answered, not refused",
			args: []string{"search", "xyzzy"},
			want: []string{"No ads for \"xyzzy\".\nNo ad mentions \"xyzzy\". Try a profession such as "},
		},
		{
			name: "a misspelled word is guessed",
			args: []string{"search", "plumer in johanesburg"},
			want: []string{"No ad mentions \"plumer\" or \"johanesburg\". Did you mean \"plumber johannesburg\"?"},
		},
		{
			name: "what comes closest says what it lacks",
			args: []string{"search", "joburg accountant"},
			want: []string{"No ad has all of it; these come closest.\n", "Accountant", "    without: johannesburg\n"},
		},
		{
			name: "no words at all",
			args: []string{"search"},
			want: []string{"Say what you are looking for: "},
		},
		{
			name: "one ad in full",
			args: []string{"show", "job-0258"},
			want: []string{"Go Developer, Klipspringer Maps (job-0258)\n", " by Oyama Oberholtz, ", "plans the daily routes of couriers in eleven African cities"},
		},
		{name: "no such ad", args: []string{"show", "job-9999"}, err: `there is no ad "job-9999"`},
		{name: "no id", args: []string{"show"}, err: "mesh: invalid params: /id "},
		{name: "too many ads", args: []string{"search", "-n", "99", "chef"}, err: "mesh: invalid params: /limit "},
		{name: "too many words", args: []string{"search", strings.Repeat("chef ", 101)}, err: "mesh: invalid params: /q "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			c, err := parse(test.args, &log)
			require.NoError(t, err)
			require.Empty(t, log.String())
			text, err := c.ask(t.Context(), m.Client())
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			rest := text
			for _, want := range test.want {
				_, after, ok := strings.Cut(rest, want)
				require.True(t, ok, "%q isn't where it should be in\n%s", want, text)
				rest = after
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"dance"}, {"-h"}, {"-x"}, {"search", "-x"}} {
		var out, log bytes.Buffer
		require.ErrorIs(t, run(t.Context(), args, &out, &log), flag.ErrHelp)
		require.Contains(t, log.String(), "usage: jobboard search [flags] words...")
		require.Empty(t, out.String())
	}
}

// lockedBuffer takes what several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
