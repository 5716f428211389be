package mdp_test

import (
	"strings"
	"testing"

	"github.com/mdpmesh/mesh/internal/mdp"
)

func BenchmarkParse(b *testing.B) {
	for name, g := range benchMessages(b) {
		parse, msg := parsers[g.To], frames(g.Frames)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, g := range benchMessages(b) {
		c := g.Command.command(b)
		dst := make([][]byte, 0, 16)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = c.AppendTo(dst[:0])
			}
		})
	}
}

// benchMessages returns what crosses the wire in a call, by command.
func benchMessages(b *testing.B) map[string]goldenMessage {
	found := make(map[string]goldenMessage)
	for _, g := range golden[goldenMessage](b, "frames.json") {
		if g.Command == nil {
			continue
		}
		name := g.Command.Version + "/" + strings.ReplaceAll(g.Command.Kind, " ", "_")
		if _, ok := found[name]; !ok {
			found[name] = g
		}
	}
	return found
}

func BenchmarkParseError(b *testing.B) {
	msg := [][]byte{[]byte("a frame of junk")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mdp.ParseBroker(msg); err == nil {
			b.Fatal("taken")
		}
	}
}

func BenchmarkAddress(b *testing.B) {
	a := mdp.Address{Token: 7, Remaining: 1500, Attempt: 1, Caller: []byte("gateway")}
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = a.AppendTo(dst[:0])
		if _, err := mdp.ParseAddress(dst); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAddressToken(b *testing.B) {
	registered := mdp.Address{Token: 7}
	for name, frame := range map[string][]byte{
		"registered": registered.AppendTo(nil),
		"plain":      mdp.AppendToken(nil, 7),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := mdp.AddressToken(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckService(b *testing.B) {
	for _, name := range []string{"tea", "thé"} {
		service := []byte(name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := mdp.CheckService(service); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
