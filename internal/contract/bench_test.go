package contract

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	google "github.com/google/jsonschema-go/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// The benchmarks behind the choices in docs/design.md. A request and its reply are
// of one shape here: an order of about 128 bytes, or a catalogue of orders.

type catalogue struct {
	Orders []order `json:"orders"`
}

func benchOrder() order {
	return order{
		Name: "Ada Lovelace of Cape Town", Kind: "green tea", Sugar: 2, Milk: true, Price: 4.25,
		Tags: []string{"hot", "large", "to go", "x"},
	}
}

func benchValue(size int) any {
	if size <= 128 {
		o := benchOrder()
		return &o
	}
	c := &catalogue{}
	for range size / 128 {
		c.Orders = append(c.Orders, benchOrder())
	}
	return c
}

func benchDocument(t testing.TB, size int) []byte {
	t.Helper()
	document, err := new(JSON).Marshal(benchValue(size))
	require.NoError(t, err)
	return document
}

var benchSizes = []struct {
	name  string
	bytes int
}{{"128B", 128}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}}

// BenchmarkCheck is what holding parameters to their contract costs.
func BenchmarkCheck(b *testing.B) {
	for _, size := range benchSizes {
		c, err := For(reflect.TypeOf(benchValue(size.bytes)).Elem(), Config{})
		require.NoError(b, err)
		document := benchDocument(b, size.bytes)
		run := func(name string, check func() error) {
			b.Run(name+"/"+size.name, func(b *testing.B) {
				require.NoError(b, check())
				b.ReportAllocs()
				b.SetBytes(int64(len(document)))
				for b.Loop() {
					_ = check()
				}
			})
		}
		run("rules", func() error {
			if faults := c.Check(document); faults != nil {
				return fmt.Errorf("%v", faults)
			}
			return nil
		})
		library, err := compileLibrary(c.Schema())
		require.NoError(b, err)
		run("santhosh-tekuri", func() error {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
			if err != nil {
				return err
			}
			return library.Validate(v)
		})
		var s google.Schema
		require.NoError(b, stdjson.Unmarshal(c.Schema(), &s))
		resolved, err := s.Resolve(nil)
		require.NoError(b, err)
		run("google", func() error {
			var v any
			if err := jsonv2.Unmarshal(document, &v); err != nil {
				return err
			}
			return resolved.Validate(v)
		})
	}
}

// BenchmarkCodec is what a request and its reply cost in JSON: both encoded and
// both decoded.
func BenchmarkCodec(b *testing.B) {
	type codec struct {
		name      string
		marshal   func(any) ([]byte, error)
		unmarshal func([]byte, any) error
	}
	ours := new(JSON)
	var buffer []byte
	codecs := []codec{
		{"encoding-json", stdjson.Marshal, stdjson.Unmarshal},
		{"json-v2", func(v any) ([]byte, error) { return jsonv2.Marshal(v) }, func(data []byte, v any) error { return jsonv2.Unmarshal(data, v) }},
		{"json-v2-with-forms", func(v any) ([]byte, error) { return jsonv2.Marshal(v, formOptions) }, func(data []byte, v any) error { return jsonv2.Unmarshal(data, v, formOptions) }},
		{"JSON", ours.Marshal, ours.Unmarshal},
		{"JSON-append", func(v any) ([]byte, error) {
			var err error
			buffer, err = ours.AppendMarshal(buffer[:0], v)
			return buffer, err
		}, ours.Unmarshal},
	}
	for _, size := range benchSizes {
		value := benchValue(size.bytes)
		for _, c := range codecs {
			b.Run(c.name+"/"+size.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for range 2 {
						document, err := c.marshal(value)
						if err != nil {
							b.Fatal(err)
						}
						into := reflect.New(reflect.TypeOf(value).Elem()).Interface()
						if err := c.unmarshal(document, into); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// BenchmarkForms is the codec with types that have written forms of their own.
func BenchmarkForms(b *testing.B) {
	type forms struct {
		At    time.Time     `json:"at"`
		Wait  time.Duration `json:"wait"`
		Bytes []byte        `json:"bytes"`
		Big   *big.Int      `json:"big"`
	}
	value := &forms{time.Date(2026, 1, 2, 15, 4, 5, 6, time.UTC), 90 * time.Second, []byte("tea, Earl Grey, hot"), big.NewInt(1 << 60)}
	codec := new(JSON)
	document, err := codec.Marshal(value)
	require.NoError(b, err)
	b.Run("Marshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = codec.Marshal(value)
		}
	})
	b.Run("Unmarshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v forms
			_ = codec.Unmarshal(document, &v)
		}
	})
}

// BenchmarkFill is a check that fills in defaults, against one that has none to
// fill in.
func BenchmarkFill(b *testing.B) {
	for _, bb := range []struct{ name, document string }{
		{"absent", `{"limit":5,"exact":false,"sizes":[],"labels":{},"wait":"PT1S","page":{"size":1,"first":2}}`},
		{"given", `{"limit":5,"exact":false,"sizes":[],"labels":{},"wait":"PT1S","page":{"size":1,"first":2},"sort":"name"}`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c := contractOf[defaults](b)
			document := []byte(bb.document)
			b.ReportAllocs()
			for b.Loop() {
				if _, faults := c.Fill(document); faults != nil {
					b.Fatal(faults)
				}
			}
		})
	}
}

// BenchmarkFor is what compiling a contract costs, once for each type.
func BenchmarkFor(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := For(reflect.TypeFor[order](), Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
