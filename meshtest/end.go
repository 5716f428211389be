package meshtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/mdpmesh/mesh"
)

// end ends the mesh, and tells of what happened where the test failed. It is the
// mesh's cleanup.
func (m *Mesh) end() {
	m.t.Helper()
	failed := m.t.Failed()
	if failed {
		m.report() // before the end adds to it
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.stop()
	}()
	patience := time.NewTimer(m.cfg.Patience)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		m.t.Errorf("meshtest: the mesh didn't end within %v%s\n\n%s", m.cfg.Patience, m.unfinished(), stacks())
		if !failed {
			m.report()
		}
	}
}

// stop ends everything, without waiting for anything but handlers: clients first,
// so that their calls fail with mesh.ErrClosed and nothing new comes.
func (m *Mesh) stop() {
	m.mu.Lock()
	clients, workers := make([]*mesh.Client, 0, len(m.clients)), make([]*worker, 0, len(m.workers))
	for _, c := range m.clients {
		clients = append(clients, c)
	}
	for _, w := range m.workers {
		workers = append(workers, w)
	}
	m.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { _ = c.Close() }) // it always returns nil
	}
	all.Wait()
	for _, w := range workers {
		w.stop()
	}
	for _, w := range workers {
		<-w.ended
	}
	for _, b := range m.brokers {
		b.stop()
	}
	_ = m.network.faults.Close() // it always returns nil
}

// unfinished names the handlers that haven't returned.
func (m *Mesh) unfinished() string {
	var b strings.Builder
	for _, c := range m.calls.copies() {
		if !c.Ended {
			fmt.Fprintf(&b, "\n  %s.%s, called at %v, still runs at %s", c.Service, c.Method, c.At, c.Worker)
		}
	}
	return b.String()
}

// stacks returns the stacks of goroutines that run code of mesh, also of other
// meshes in the process.
func stacks() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var found []string
	for stack := range bytes.SplitSeq(buf, []byte("\n\n")) {
		if bytes.Contains(stack, []byte("github.com/mdpmesh/mesh")) && !bytes.Contains(stack, []byte("meshtest.stacks")) {
			found = append(found, string(stack))
		}
	}
	return strings.Join(found, "\n\n")
}

// loggedMessages is how many messages the log of a failed test shows.
const loggedMessages = 50

// report writes what happened: the last of it to the log, and all to the test's
// artifacts.
func (m *Mesh) report() {
	m.t.Helper()
	lines, before := m.messages.lines(loggedMessages)
	m.t.Logf("meshtest: seed %#x; the last %d of %d messages:\n  %s\n%s", m.cfg.Seed, len(lines), before+len(lines),
		strings.Join(lines, "\n  "), m.events.tail(shownEvents))

	lines, before = m.messages.lines(m.cfg.MaxMessages)
	var messages, events strings.Builder
	if before > 0 {
		fmt.Fprintf(&messages, "%d earlier ones are left out\n", before)
	}
	for _, line := range lines {
		messages.WriteString(line + "\n")
	}
	for _, o := range m.Events(Event()) {
		events.WriteString(o.String() + "\n")
	}
	dir := m.t.ArtifactDir()
	err := errors.Join(create(dir, "messages", messages.String()), create(dir, "events", events.String()))
	if err != nil {
		m.t.Errorf("meshtest: %v", err)
		return
	}
	m.t.Logf("meshtest: all messages and events are in %s, which go test -artifacts keeps", dir)
}

// create writes a text file that wasn't there: a test may have several meshes.
func create(dir, name, text string) error {
	for n := 1; ; n++ {
		file := filepath.Join(dir, name+".txt")
		if n > 1 {
			file = filepath.Join(dir, fmt.Sprintf("%s-%d.txt", name, n))
		}
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // in the test's own directory
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		return errors.Join(err, f.Close())
	}
}
