package majordomo

import (
	"errors"
	"strings"
	"unicode"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// Presence is what a peer says of itself, for people: a worker in its registration,
// a client in the params of mmi.ping. Nobody checks whether it is true.
type Presence struct {
	Instance string `json:"instance,omitempty"`
	Host     string `json:"host,omitempty"`
	PID      int    `json:"pid,omitempty"`
	Version  string `json:"version,omitempty"`
}

// maxPresence is the largest length of a text in a Presence, in bytes: that of a
// service's name.
const maxPresence = 255

// check says what is wrong with p. Its texts are shown in terminals and logs.
func (p *Presence) check() *failure {
	for _, t := range []struct{ name, text string }{{"instance", p.Instance}, {"host", p.Host}, {"version", p.Version}} {
		switch {
		case len(t.text) > maxPresence:
			return &failure{code: jsonrpc.CodeInvalidParams, text: t.name + " is longer than 255 bytes"}
		case strings.ContainsFunc(t.text, func(r rune) bool { return !unicode.IsPrint(r) }):
			return &failure{code: jsonrpc.CodeInvalidParams, text: t.name + " isn't printable"}
		}
	}
	if p.PID < 0 {
		return &failure{code: jsonrpc.CodeInvalidParams, text: "pid is negative"}
	}
	return nil
}

// Check says for what a broker would refuse p, or nil.
func (p *Presence) Check() error {
	if f := p.check(); f != nil {
		return errors.New(f.text)
	}
	return nil
}

// introduce notes what a client says of itself in mmi.ping. What says nothing
// leaves what was said before.
func (p *Peer) introduce(said Presence) *failure {
	if said == (Presence{}) || p.presence != nil && *p.presence == said {
		return nil
	}
	if f := said.check(); f != nil {
		return f
	}
	p.presence = new(said) // only what is kept is an allocation
	return nil
}
