package mdp_test

import "github.com/mdpmesh/mesh/internal/mdp"

// grammar is the tables of RFC 7 and RFC 18 once more, row by row, for each end
// that receives a command. It is the slow and obvious parser that the real one is
// checked against. In a layout, "" is an empty frame, "S" and "A" are service name
// and address, "E" in front is an envelope of any depth that is allowed, which
// doesn't begin with a header of MDP/0.2, and "B" at the end is a body; anything
// else is the frame itself.
var grammar = []grammarRow{
	{"broker", mdp.V01, mdp.ClientRequest, []string{"E", "", "MDPC01", "S", "B"}},
	{"broker", mdp.V01, mdp.Ready, []string{"", "MDPW01", "\x01", "S"}},
	{"broker", mdp.V01, mdp.WorkerFinal, []string{"", "MDPW01", "\x03", "A", "", "B"}},
	{"broker", mdp.V01, mdp.Heartbeat, []string{"", "MDPW01", "\x04"}},
	{"broker", mdp.V01, mdp.Disconnect, []string{"", "MDPW01", "\x05"}},
	{"worker", mdp.V01, mdp.WorkerRequest, []string{"", "MDPW01", "\x02", "A", "", "B"}},
	{"worker", mdp.V01, mdp.Heartbeat, []string{"", "MDPW01", "\x04"}},
	{"worker", mdp.V01, mdp.Disconnect, []string{"", "MDPW01", "\x05"}},
	{"worker", mdp.V01, mdp.ClientFinal, []string{"", "MDPC01", "S", "B"}},
	{"client", mdp.V01, mdp.ClientFinal, []string{"", "MDPC01", "S", "B"}},

	{"broker", mdp.V02, mdp.ClientRequest, []string{"MDPC02", "\x01", "S", "B"}},
	{"broker", mdp.V02, mdp.Ready, []string{"MDPW02", "\x01", "S"}},
	{"broker", mdp.V02, mdp.WorkerPartial, []string{"MDPW02", "\x03", "A", "", "B"}},
	{"broker", mdp.V02, mdp.WorkerFinal, []string{"MDPW02", "\x04", "A", "", "B"}},
	{"broker", mdp.V02, mdp.Heartbeat, []string{"MDPW02", "\x05"}},
	{"broker", mdp.V02, mdp.Disconnect, []string{"MDPW02", "\x06"}},
	{"worker", mdp.V02, mdp.WorkerRequest, []string{"MDPW02", "\x02", "A", "", "B"}},
	{"worker", mdp.V02, mdp.Heartbeat, []string{"MDPW02", "\x05"}},
	{"worker", mdp.V02, mdp.Disconnect, []string{"MDPW02", "\x06"}},
	{"worker", mdp.V02, mdp.ClientPartial, []string{"MDPC02", "\x02", "S", "B"}},
	{"worker", mdp.V02, mdp.ClientFinal, []string{"MDPC02", "\x03", "S", "B"}},
	{"client", mdp.V02, mdp.ClientPartial, []string{"MDPC02", "\x02", "S", "B"}},
	{"client", mdp.V02, mdp.ClientFinal, []string{"MDPC02", "\x03", "S", "B"}},
}

type grammarRow struct {
	to      string
	version mdp.Version
	kind    mdp.Kind
	layout  []string
}

// match returns the command that msg is by this row.
func (r grammarRow) match(msg [][]byte) (mdp.Command, bool) {
	c := mdp.Command{Version: r.version, Kind: r.kind}
	rest := msg
	for _, want := range r.layout {
		if want == "E" {
			for len(rest) > 0 && len(rest[0]) > 0 {
				c.Envelope = append(c.Envelope, rest[0])
				rest = rest[1:]
			}
			if n := len(c.Envelope); n > mdp.MaxEnvelope || n > 0 && (string(msg[0]) == "MDPC02" || string(msg[0]) == "MDPW02") {
				return c, false
			}
			continue
		}
		if len(rest) == 0 {
			return c, false
		}
		switch frame := rest[0]; want {
		case "S":
			c.Service = frame
		case "A":
			if len(frame) == 0 {
				return c, false
			}
			c.Address = frame
		case "B":
			c.Body = rest
			return c, true
		default:
			if string(frame) != want {
				return c, false
			}
		}
		rest = rest[1:]
	}
	return c, len(rest) == 0
}

// parseByGrammar returns the commands that the grammar takes msg for.
func parseByGrammar(to string, msg [][]byte) []mdp.Command {
	var found []mdp.Command
	for _, row := range grammar {
		if row.to != to {
			continue
		}
		if c, ok := row.match(msg); ok {
			found = append(found, c)
		}
	}
	return found
}
