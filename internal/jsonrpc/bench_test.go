package jsonrpc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// sizes are the sizes of bodies, in bytes, that the benchmarks are for.
var sizes = []int{128, 1 << 10, 64 << 10}

// payloads are shapes of params of about n bytes. Text is the best case of a
// scan by words, records are what services really send, numbers are the worst.
var payloads = []struct {
	name string
	make func(n int) []byte
}{
	{"text", func(n int) []byte {
		return []byte(`{"text":"` + strings.Repeat("x", max(n-11, 0)) + `"}`)
	}},
	{"records", func(n int) []byte {
		return list(n, `{"id":17,"tea":"oolong","hot":true}`)
	}},
	{"numbers", func(n int) []byte { return list(n, "1234.5") }},
	{"greek", func(n int) []byte {
		return []byte(`{"text":"` + strings.Repeat("τσάι ", max(n-11, 0)/9) + `"}`)
	}},
}

// list is an object that holds a list of item of about n bytes in all.
func list(n int, item string) []byte {
	items := make([]string, max((n-10)/(len(item)+1), 1))
	for i := range items {
		items[i] = item
	}
	return []byte(`{"items":[` + strings.Join(items, ",") + `]}`)
}

var benchHead = jsonrpc.RequestHead{ID: 123456, Method: "tea.brew", TimeoutMS: 29_985}

// request is a request of about n bytes.
func request(n int, payload func(n int) []byte) []byte {
	head := len(jsonrpc.AppendRequest(nil, &benchHead, []byte("{}"))) - 2
	return jsonrpc.AppendRequest(nil, &benchHead, payload(n-head))
}

func benchmarkScan(b *testing.B, scan func([]byte, *jsonrpc.Envelope)) {
	for _, p := range payloads {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", p.name, n), func(b *testing.B) {
				body := request(n, p.make)
				var e jsonrpc.Envelope
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					scan(body, &e)
				}
				if e.Kind != jsonrpc.Request {
					b.Fatal(e.Reason)
				}
			})
		}
	}
}

func BenchmarkScan(b *testing.B)     { benchmarkScan(b, jsonrpc.Scan) }
func BenchmarkScanHead(b *testing.B) { benchmarkScan(b, jsonrpc.ScanHead) }

func BenchmarkScanResult(b *testing.B) {
	body := jsonrpc.AppendResult(nil, []byte("123456"), []byte(`{"text":"`+strings.Repeat("x", 76)+`"}`))
	var e jsonrpc.Envelope
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		jsonrpc.Scan(body, &e)
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			head := len(request(0, payloads[0].make)) - len(payloads[0].make(0))
			params := payloads[0].make(n - head)
			buf := jsonrpc.AppendRequest(nil, &benchHead, params)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = jsonrpc.AppendRequest(buf[:0], &benchHead, params)
			}
		})
	}
}

func BenchmarkAppendResult(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			id := []byte("123456")
			result := payloads[0].make(n - len(jsonrpc.AppendResult(nil, id, nil)) + 4)
			buf := jsonrpc.AppendResult(nil, id, result)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = jsonrpc.AppendResult(buf[:0], id, result)
			}
		})
	}
}

func BenchmarkReplaceID(b *testing.B) {
	body := request(128, payloads[0].make)
	var e jsonrpc.Envelope
	jsonrpc.Scan(body, &e)
	buf := make([]byte, 0, 2*len(body))
	b.ReportAllocs()
	for b.Loop() {
		buf = jsonrpc.ReplaceID(buf[:0], body, &e, []byte("654321"))
	}
}

func BenchmarkAppendString(b *testing.B) {
	for _, text := range []struct{ name, text string }{
		{"method", "tea.brew"},
		{"ascii", strings.Repeat("Earl Grey ", 100)},
		{"greek", strings.Repeat("τσάι ", 100)},
		{"escapes", strings.Repeat("\"tea\"\n", 100)},
	} {
		b.Run(text.name, func(b *testing.B) {
			buf := make([]byte, 0, 4096)
			b.SetBytes(int64(len(text.text)))
			b.ReportAllocs()
			for b.Loop() {
				buf = jsonrpc.AppendString(buf[:0], text.text)
			}
		})
	}
}
