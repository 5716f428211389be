package majordomo

import (
	"bytes"
	"testing"
	"time"
)

// FuzzClientMessage gives sessions that have calls out whatever a broker may send:
// messages are split at newlines, frames at vertical bars.
func FuzzClientMessage(f *testing.F) {
	for _, seed := range []string{
		`MDPC02|` + "\x03" + `|tea|{"jsonrpc":"2.0","id":32769,"result":1}`,
		`MDPC02|` + "\x02" + `|tea|{"jsonrpc":"2.0","id":32769,"result":1}` + "\n" +
			`MDPC02|` + "\x03" + `|tea|{"jsonrpc":"2.0","id":32769,"error":{"code":-32007,"message":"","data":{"handed_over":false}}}`,
		`|MDPC01|tea|a|{"jsonrpc":"2.0","id":32770,"result":1}`,
		`MDPC02|` + "\x03" + `|mmi.ping|{"jsonrpc":"2.0","id":32768,"result":{"incarnation":"1","draining":true}}`,
		`MDPC02|` + "\x03" + `|mmi.ping|501`,
		`MDPC02|` + "\x03" + `|mmi.cancel|`,
		`MDPW02|` + "\x06",
	} {
		for mode := range uint8(8) {
			f.Add(mode, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, mode uint8, data []byte) {
		b := newClientBed(t, ClientConfig{
			Brokers: 2, Speak: Speak(mode % 3), Opaque: mode&4 != 0,
		})
		b.wake()
		if mode&8 != 0 || b.cfg.Speak != SpeakMesh {
			b.serve("1")
		} else {
			b.dialed(1)
		}
		calls := []*Call{{Window: 2}, {Idempotent: true}, {Key: "k"}, {}}
		for _, c := range calls {
			if b.cfg.Opaque {
				c.Body, c.Key = [][]byte{{}}, ""
			}
			b.calls[c] = &clientRecord{}
			c.Service, c.Deadline = []byte("tea"), b.now.Add(time.Second)
			if !b.cfg.Opaque {
				c.Method = "tea.brew"
			}
			b.s.Step(b.now, &ClientEvent{Kind: ClientCall, Call: c})
		}
		done := make(map[*Call]bool)
		take := func(actions []ClientAction) {
			for i := range actions {
				if a := &actions[i]; a.Kind == ClientDone {
					if done[a.Call] {
						t.Fatal("a second end")
					}
					done[a.Call] = true
				}
			}
		}
		for message := range bytes.SplitSeq(data, []byte("\n")) {
			var ev ClientEvent
			ev.Received(1, bytes.Split(message, []byte("|")))
			take(b.s.Step(b.now, &ev))
		}
		take(b.s.Step(b.now.Add(2*time.Second), &ClientEvent{Kind: ClientWake}))
		for _, c := range calls {
			if !done[c] {
				t.Fatal("a call outlived its deadline")
			}
		}
	})
}
