package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	inFlight, sizes  []int
	rounds           int
	duration, warmUp time.Duration
	systems          []system
	pin              []int
	clients, workers int
	idle             int
	profile          string
	json             bool
}

// parseOptions reads the command line.
func parseOptions(args []string, usage io.Writer) (options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	inFlight := flags.String("inflight", "1,64,512", "how many calls go on at once, a list")
	sizes := flags.String("size", "128", "bytes of a payload, a list; at least 128")
	rounds := flags.Int("rounds", 5, "how often each measurement is made; medians are reported")
	duration := flags.Duration("duration", time.Second, "how long one measurement takes")
	warmUp := flags.Duration("warmup", 300*time.Millisecond, "how long calls go on before a measurement begins")
	systems := flags.String("systems", "", "what to compare, a list of "+strings.Join(names(allSystems()), ", ")+
		"; a name may end in *, all where empty (with -idle: mesh-zmtp-raw, nats-raw)")
	cpus := flags.String("pin", "", "run every process on these processors only, a list such as 0 or 0,1")
	clients := flags.Int("clients", 1, "connections of the client process")
	workers := flags.Int("workers", 1, "connections of the worker process")
	idle := flags.Int("idle", 0, "measure instead what so many idle clients cost the broker")
	profile := flags.String("profile", "", "write CPU profiles of every Go process to this directory")
	asJSON := flags.Bool("json", false, "report JSON, with the numbers of every round")
	quick := flags.Bool("quick", false, "a first impression: -rounds 2 -duration 200ms -warmup 100ms -inflight 1,64 where not given")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if *quick {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range map[string]string{"rounds": "2", "duration": "200ms", "warmup": "100ms", "inflight": "1,64"} {
			if !given[name] {
				if err := flags.Set(name, value); err != nil {
					return options{}, err
				}
			}
		}
	}
	if *idle > 0 && *systems == "" {
		*systems = "mesh-zmtp-raw,nats-raw"
	}

	o := options{
		rounds: *rounds, duration: *duration, warmUp: *warmUp, clients: *clients, workers: *workers,
		idle: *idle, profile: *profile, json: *asJSON,
	}
	var errs [4]error
	o.inFlight, errs[0] = numbers("inflight", *inFlight, 1)
	o.sizes, errs[1] = numbers("size", *sizes, smallestPayload)
	o.pin, errs[2] = numbers("pin", *cpus, 0)
	o.systems, errs[3] = choose(*systems)
	switch {
	case flags.NArg() > 0:
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.rounds < 1 || o.clients < 1 || o.workers < 1 || o.duration <= 0 || o.warmUp < 0 || o.idle < 0:
		return options{}, errors.New("-rounds, -clients, -workers and -duration must be positive, -warmup and -idle not negative")
	case len(o.inFlight) == 0 || len(o.sizes) == 0:
		return options{}, errors.New("-inflight and -size must not be empty")
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o750); err != nil {
			return options{}, err
		}
	}
	return o, errors.Join(errs[:]...)
}

// numbers reads a list such as "1,64,512".
func numbers(name, list string, least int) ([]int, error) {
	var out []int
	for field := range strings.SplitSeq(list, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		n, err := strconv.Atoi(field)
		if err != nil || n < least {
			return nil, fmt.Errorf("-%s: %q is no number from %d", name, field, least)
		}
		out = append(out, n)
	}
	return out, nil
}

// choose returns the systems that a list names, in the order of allSystems.
func choose(list string) ([]system, error) {
	all := allSystems()
	if list == "" {
		return all, nil
	}
	chosen := make([]bool, len(all))
	for pattern := range strings.SplitSeq(list, ",") {
		pattern = strings.TrimSpace(pattern)
		prefix, many := strings.CutSuffix(pattern, "*")
		found := false
		for i, s := range all {
			if s.name == pattern || many && strings.HasPrefix(s.name, prefix) {
				chosen[i], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("-systems: no system %q; there are %s", pattern, strings.Join(names(all), ", "))
		}
	}
	out := slices.Clone(all[:0])
	for i, s := range all {
		if chosen[i] {
			out = append(out, s)
		}
	}
	return out, nil
}
