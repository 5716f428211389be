package curvezmq_test

import (
	"testing"

	"github.com/mdpmesh/mesh/internal/curvezmq"
)

var benchSizes = map[string]int{"128B": 128, "64KiB": 1 << 16}

func BenchmarkSeal(b *testing.B) {
	for name, size := range benchSizes {
		b.Run(name, func(b *testing.B) {
			s := newBed(b, done).clientSession
			payload := make([]byte, size)
			dst := make([]byte, 0, curvezmq.SealedSize(size)+1+size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Seal(dst, 0, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSealAndOpen(b *testing.B) {
	for name, size := range benchSizes {
		b.Run(name, func(b *testing.B) {
			bed := newBed(b, done)
			payload := make([]byte, size)
			sealed := make([]byte, 0, curvezmq.SealedSize(size)+1+size)
			opened := make([]byte, 0, size+1)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				body, err := bed.clientSession.Seal(sealed, 0, payload)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := bed.serverSession.Open(body, opened); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandshake is both ends together.
func BenchmarkHandshake(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		newBed(b, done)
	}
}
