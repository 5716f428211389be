package majordomo

import (
	"bytes"
	"testing"
	"time"
)

// FuzzWorkerMessage gives sessions that have jobs whatever a broker may send:
// messages are split at newlines, frames at vertical bars.
func FuzzWorkerMessage(f *testing.F) {
	const address = "\x01\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\xff\xff\x01\x00\x00"
	for _, seed := range []string{
		"MDPW02|\x02|" + address + `||{"jsonrpc":"2.0","id":1,"method":"tea.brew"}`,
		"MDPW02|\x02|0123456789abcdef||opaque|of|frames\nMDPW02|\x05",
		"MDPW02|\x02|" + address + `||{"jsonrpc":"2.0","method":"rpc.cancel"}` + "\nMDPW02|\x06",
		"MDPW02|\x02|" + address + `||{"jsonrpc":"2.0","method":"rpc.credit","params":{"n":16}}`,
		"|MDPW01|\x02|0123456789abcdef||" + `{"jsonrpc":"2.0","id":1,"method":"tea.brew","meta":{"timeout_ms":1}}` + "\n|MDPW01|\x04\n|MDPW01|\x05",
		"MDPC02|\x03|mmi.register|501",
		"MDPC02|\x03|mmi.register|" + `{"jsonrpc":"2.0","id":1,"result":{"heartbeat_ms":1,"liveness":1,"refused":[{"service":"tea"}]}}`,
		"MDPC02|\x03|mmi.register|" + `{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":""}}`,
		"MDPC02|\x02|mmi.register|x",
	} {
		for mode := range uint8(16) {
			f.Add(mode, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, mode uint8, data []byte) {
		b := newWorkerBed(t, WorkerConfig{Brokers: 2, Speak: Speak(mode % 3), MaxPartialBytes: 3})
		b.dialed(1)
		if mode&4 != 0 && b.cfg.Speak == SpeakMesh {
			b.answer(1, &Registered{})
		}
		if mode&8 != 0 {
			b.beginDrain()
		}
		jobs := make(map[*Job]bool)
		finished := 0
		take := func(actions []WorkerAction) {
			for i := range actions {
				switch a := &actions[i]; a.Kind {
				case WorkerRun:
					if jobs[a.Job] {
						t.Fatal("run while it runs")
					}
					jobs[a.Job] = true
				case WorkerCancel, WorkerCredit:
					if !jobs[a.Job] {
						t.Fatal("word of a job that doesn't run")
					}
				case WorkerFinished:
					finished++
				}
			}
		}
		if b.finished > 0 {
			finished = b.finished
		}
		step := func(ev *WorkerEvent) { take(b.s.Step(b.now, ev)) }
		for message := range bytes.SplitSeq(data, []byte("\n")) {
			var ev WorkerEvent
			ev.Received(1, bytes.Split(message, []byte("|")))
			step(&ev)
			b.now = b.now.Add(time.Millisecond)
			for j := range jobs {
				step(&WorkerEvent{Kind: WorkerReply, Job: j, Body: frames("p")})
				if mode&16 != 0 {
					delete(jobs, j)
					step(&WorkerEvent{Kind: WorkerReply, Job: j, Body: frames("x"), Final: true})
				}
				break
			}
		}
		if len(jobs) > b.cfg.Registration.Capacity {
			t.Fatal("more jobs than the worker takes")
		}
		step(&WorkerEvent{Kind: WorkerStop})
		if finished != 1 {
			t.Fatal("not one end")
		}
		for j := range jobs {
			step(&WorkerEvent{Kind: WorkerReply, Job: j, Body: frames("x"), Final: true})
		}
		if b.s.running != 0 {
			t.Fatal("jobs are left")
		}
	})
}
