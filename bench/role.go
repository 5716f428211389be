package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// roleArgument is the first argument of a process that plays a role; the
// system, the role and its setting follow.
const roleArgument = "play-role"

// idleRole is the role of a process of clients that connect and then do
// nothing.
const idleRole = "idle"

// play is the main function of a process that plays a role.
func play(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // an interrupt is for who started this
	defer cancel()
	if len(args) != 3 {
		return fmt.Errorf("%s: want a system, a role and a setting", roleArgument)
	}
	systems, err := choose(args[0])
	if err != nil {
		return err
	}
	var with setting
	if err := json.Unmarshal([]byte(args[2]), &with); err != nil {
		return err
	}
	if with.Profile != "" {
		stop, err := profile(with.Profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	connections, address, err := begin(ctx, systems[0], args[1], with)
	if err != nil {
		_, _ = fmt.Fprintf(out, "error %q\n", err)
		return nil
	}
	if _, err := fmt.Fprintf(out, "ready %s\n", address); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answer, err := obey(ctx, connections, lines.Text())
		if err != nil {
			answer = fmt.Sprintf("error %q", err)
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return nil
}

// begin starts a role.
func begin(ctx context.Context, s system, role string, with setting) (connections []connection, address string, err error) {
	switch role {
	case "broker":
		address, err = s.broker(ctx, with)
	case "worker":
		address, err = s.worker(ctx, with)
	case "client":
		connections, err = s.client(ctx, with)
	case idleRole:
		if connections, err = s.client(ctx, with); err != nil {
			break
		}
		for _, c := range connections { // some connect with their first call
			if err = c(smallestPayload)(); err != nil {
				break
			}
		}
	default:
		err = fmt.Errorf("no role %q", role)
	}
	return connections, address, err
}

// obey does what a line says and returns the answer.
func obey(ctx context.Context, connections []connection, line string) (string, error) {
	words := strings.Fields(line)
	if len(words) < 5 || words[0] != "measure" || len(connections) == 0 {
		return "", fmt.Errorf("what is %q?", line)
	}
	ns := make([]int, len(words)-1)
	for i, word := range words[1:] {
		var err error
		if ns[i], err = strconv.Atoi(word); err != nil {
			return "", err
		}
	}
	s, err := measure(ctx, connections, load{
		size: ns[0], inFlight: ns[1], warmUp: time.Duration(ns[2]), duration: time.Duration(ns[3]), pids: slices.Clip(ns[4:]),
	})
	return fmt.Sprintf("sample %d %d %d %d %d", s.calls, s.elapsed, s.cpu, s.p50, s.p99), err
}

// profile begins a processor profile.
func profile(file string) (stop func(), err error) {
	f, err := os.Create(file) //nolint:gosec // the command line says where
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
