package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// How long processes may take, beyond what they were told to do.
const (
	startLimit = 2 * time.Minute
	askLimit   = 60 * time.Second
	stopLimit  = 5 * time.Second
)

// process is a running process of a system. It is told what to do by lines of
// text and answers each with one line; so a program in C can do it too. A
// process ends when its standard input does.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// startProcess starts a process and returns the address that it says.
func startProcess(ctx context.Context, s system, role string, with setting) (*process, string, error) {
	var args []string
	if s.program != nil {
		args = []string{s.program(with.Dir), role, with.Address, fmt.Sprint(with.Clients), fmt.Sprint(with.Workers)}
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, "", err
		}
		text, err := json.Marshal(with)
		if err != nil {
			return nil, "", err
		}
		args = []string{self, roleArgument, s.name, role, string(text)}
	}
	p := &process{name: s.name + " " + role}
	p.cmd = exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // this program, or one that it has compiled
	p.cmd.Stderr = os.Stderr
	p.cmd.WaitDelay = stopLimit
	// An interrupt reaches the whole group of the terminal; the end of the input
	// is what ends a process.
	p.cmd.Cancel = func() error { return p.in.Close() }
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, "", err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, "", err
	}
	address, err := p.answer("ready", startLimit)
	if err != nil {
		p.stop()
		return nil, "", err
	}
	return p, address, nil
}

// ask has the process do something, and returns what it answers.
func (p *process) ask(what, expect string, limit time.Duration) (string, error) {
	if _, err := io.WriteString(p.in, what+"\n"); err != nil {
		return "", fmt.Errorf("%s: %w", p.name, err)
	}
	return p.answer(expect, limit)
}

// answer reads an answer, and kills a process that gives none.
func (p *process) answer(expect string, limit time.Duration) (string, error) {
	timer := time.AfterFunc(limit, func() { _ = p.cmd.Process.Kill() })
	line, err := p.out.ReadString('\n')
	if !timer.Stop() {
		return "", fmt.Errorf("%s: no answer in %s", p.name, limit)
	}
	if err != nil {
		return "", fmt.Errorf("%s has ended: %w", p.name, err)
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if word != expect {
		return "", fmt.Errorf("%s: %s", p.name, strings.TrimSpace(line))
	}
	return rest, nil
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.in.Close()
	timer := time.AfterFunc(stopLimit, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait() // how it ended says nothing about what it measured
}

// deployment is a system's running processes.
type deployment struct {
	system    system
	setting   setting
	processes []*process // the client is the last
}

// deploy starts a system.
func deploy(ctx context.Context, s system, o options, dir string) (*deployment, error) {
	d := &deployment{system: s, setting: setting{Dir: filepath.Join(dir, s.name), Clients: o.clients, Workers: o.workers}}
	for _, n := range o.inFlight {
		d.setting.Capacity = max(d.setting.Capacity, n)
	}
	if err := os.Mkdir(d.setting.Dir, 0o700); err != nil {
		return nil, err
	}
	if s.prepare != nil {
		if err := s.prepare(ctx, d.setting.Dir); err != nil {
			return nil, err
		}
	}
	for _, role := range s.roles() {
		if o.profile != "" {
			d.setting.Profile = filepath.Join(o.profile, s.name+"."+role+".prof")
		}
		if err := d.start(ctx, role, d.setting); err != nil {
			d.stop()
			return nil, err
		}
	}
	return d, nil
}

// start starts one process. What it says is the address for the later ones.
func (d *deployment) start(ctx context.Context, role string, with setting) error {
	p, address, err := startProcess(ctx, d.system, role, with)
	if err != nil {
		return err
	}
	if address != "" {
		d.setting.Address = address
	}
	d.processes = append(d.processes, p)
	return nil
}

// measure has the client process measure.
func (d *deployment) measure(l load) (sample, error) {
	last := len(d.processes) - 1
	ask := fmt.Appendf(nil, "measure %d %d %d %d", l.size, l.inFlight, l.warmUp.Nanoseconds(), l.duration.Nanoseconds())
	for _, p := range d.processes[:last] {
		ask = fmt.Appendf(ask, " %d", p.cmd.Process.Pid)
	}
	answer, err := d.processes[last].ask(string(ask), "sample", askLimit+l.warmUp+l.duration)
	if err != nil {
		return sample{}, err
	}
	var s sample
	_, err = fmt.Sscan(answer, &s.calls, (*int64)(&s.elapsed), (*int64)(&s.cpu), (*int64)(&s.p50), (*int64)(&s.p99))
	return s, err
}

// stop ends the processes, those that started last first.
func (d *deployment) stop() {
	for _, p := range slices.Backward(d.processes) {
		p.stop()
	}
}

// broker returns the process whose memory the idle clients cost.
func (d *deployment) broker() *process { return d.processes[0] }

var errNotAvailable = errors.New("not available")
