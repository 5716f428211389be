package wire_test

import (
	"testing"
	"time"

	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

func BenchmarkParseHeader(b *testing.B) {
	for name, size := range map[string]int{"short": 128, "long": 1 << 16} {
		header := wire.AppendHeader(nil, wire.More, size)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := wire.ParseHeader(header, limit); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	for name, size := range map[string]int{"short": 128, "long": 1 << 16} {
		dst := make([]byte, 0, wire.LongHeader)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = wire.AppendHeader(dst[:0], wire.More, size)
			}
		})
	}
}

func BenchmarkPing(b *testing.B) {
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = wire.AppendPing(dst[:0], time.Second, nil)
		_, data, err := wire.ParseCommand(dst)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := wire.ParsePing(data); err != nil {
			b.Fatal(err)
		}
	}
}
