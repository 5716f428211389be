package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func contractOf[T any](t testing.TB) *Contract {
	t.Helper()
	c, err := For(reflect.TypeFor[T](), Config{})
	require.NoError(t, err)
	return c
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const good = `"name":"Ada","kind":"coffee","sugar":2,"milk":true,"price":4.25,"tags":[]`
	for _, tt := range []struct {
		name     string
		contract *Contract
		document string
		want     []Fault
	}{
		{"right", contractOf[order](t), "{" + good + "}", nil},
		{"unknown members", contractOf[order](t), `{"x":{"name":7},` + good + `,"y":[]}`, nil},
		{"another order, odd spacing", contractOf[order](t), "\n{\t\"tags\" : [ \"a\" ] , \"price\":0,\"milk\":false,\"sugar\":5,\"kind\":\"coffee\",\"name\":\"\\u00df\" } ", nil},
		{"every fault", contractOf[order](t), `{"name":"","kind":"cocoa","sugar":9,"milk":"yes","price":-1,"tags":["a",2,"c","d",{}]}`, []Fault{
			{"/name", "must have at least 1 character"},
			{"/kind", `must be one of "green tea", "black tea", "coffee"`},
			{"/sugar", "must be at most 5"},
			{"/milk", "must be a boolean, not a string"},
			{"/price", "must be at least 0"},
			{"/tags/1", "must be a string, not a number"},
			{"/tags/4", "must be a string, not an object"},
			{"/tags", "must have at most 4 items"},
		}},
		{"missing members", contractOf[order](t), `{"name":"Ada"}`, []Fault{
			{"/kind", "is required"}, {"/sugar", "is required"}, {"/milk", "is required"}, {"/price", "is required"}, {"/tags", "is required"},
		}},
		{"nothing given", contractOf[shapes](t), "", []Fault{{"/id", "is required"}, {"/names", "is required"}, {"/inline", "is required"}}},
		{"nothing needed", contractOf[struct{}](t), "", nil},
		{"an array for an object", contractOf[order](t), `[1]`, []Fault{{"", "must be an object, not an array"}}},
		{"null for an object", contractOf[order](t), `null`, []Fault{{"", "must be an object, not null"}}},
		{"a member twice", contractOf[order](t), "{" + good + `,"name":"Bob"}`, []Fault{{"/name", "stands there twice"}}},
		{"a member twice, spelled differently", contractOf[order](t), "{" + good + `,"n\u0061me":"Bob"}`, []Fault{{"/name", "stands there twice"}}},
		{"an unknown member twice", contractOf[order](t), "{" + good + `,"x":1,"y":2,"\u0078":3}`, []Fault{{"/x", "stands there twice"}}},
		{"a member twice in an unknown one", contractOf[order](t), "{" + good + `,"x":[{"y":{"z":1,"z":2}}]}`, []Fault{{"/x/0/y/z", "stands there twice"}}},
		{"a member twice in a wrong value", contractOf[order](t), `{"name":{"a":1,"a":1},"kind":"coffee","sugar":2,"milk":true,"price":4.25,"tags":[]}`, []Fault{
			{"/name", "must be a string, not an object"}, {"/name/a", "stands there twice"},
		}},
		{"an integer with a fraction", contractOf[order](t), `{"name":"Ada","kind":"coffee","sugar":2.0,"milk":true,"price":4.25,"tags":[]}`, []Fault{
			{"/sugar", "must be an integer from -9223372036854775808 to 9223372036854775807, without fraction or exponent"},
		}},
		{"characters, not bytes", contractOf[formats](t), `{"code":"ßßßß"}`, nil},
		{"too many characters", contractOf[formats](t), `{"code":"ßßßßß"}`, []Fault{{"/code", "must have at most 4 characters"}}},
		{"written forms", contractOf[formats](t), `{"when":"2026-02-29T00:00:00Z","long":"P1D","bytes":"AAA","hash":"AAA=","big":"1e3","ratio":"0.5","money":"x","id":"1","day":"2026-02-30","own":"red"}`, []Fault{
			{"/when", string(errTimestamp)},
			{"/long", string(errDuration)},
			{"/bytes", "must be base64 with padding (RFC 4648, section 4)"},
			{"/hash", "must have at least 8 characters"},
			{"/hash", "must match the pattern ==$"},
			{"/big", string(errInteger)},
			{"/ratio", string(errRatio)},
			{"/money", "must match the pattern ^-?[0-9]+([.][0-9]+)?$"},
			{"/id", "must be a UUID (RFC 9562)"},
			{"/day", "must be of the format date"},
			{"/own", "must match the pattern ^#[0-9a-f]{6}$"},
		}},
		{"a schema for the library", contractOf[formats](t), `{"pairs":[2,3,2]}`, []Fault{
			{"/pairs", "must have no item twice: 0 and 2 are the same"},
			{"/pairs/1", "must be a multiple of 2"},
		}},
		{"an unwieldy number for the library", contractOf[formats](t), `{"pairs":[1e1000001]}`, []Fault{{"/pairs/0", messageUnwieldy}}},
		{"a long number for the library", contractOf[formats](t), `{"pairs":[2,0.` + strings.Repeat("0", 1000) + `]}`, []Fault{{"/pairs/1", messageUnwieldy}}},
		{"names of a map", contractOf[shapes](t), `{"id":"1","names":{},"inline":{"a":1},"counts":{"x":1,"200":256}}`, []Fault{
			{"/names", "must have at least 1 member"},
			{"/counts/x", string(errInteger)},
			{"/counts/x", "must be an integer from -128 to 127, without fraction or exponent"},
			{"/counts/200", "must be an integer from -128 to 127, without fraction or exponent"},
			{"/counts/200", "must be an integer from 0 to 255, without fraction or exponent"},
		}},
		{"escapes in a path", contractOf[shapes](t), `{"id":"1","names":{"a/b~c\u0064":5},"inline":{"a":1},"a/b~ é":1}`, []Fault{
			{"/names/a~1b~0cd", "must be a string, not a number"},
			{"/a~1b~0 é", "must be a string, not a number"},
		}},
		{"recursion", contractOf[node](t), `{"value":1,"next":{"value":2,"below":[null,{"next":null}]}}`, []Fault{{"/next/below/1/value", "is required"}}},
		{"more members than a word has bits", contractOf[many](t), `{"M64":1,"M65":2}`, []Fault{{"/M66", "is required"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, tt.contract.Check([]byte(tt.document)))
		})
	}
}

// TestNotJSON has what breaks the grammar of RFC 8259, at the top and further in.
func TestNotJSON(t *testing.T) {
	t.Parallel()
	bad := []string{
		"", " ", "nul", "nulL", "tru", "fals", "x", "'a'", "+1", "-", "01", "-01", "1.", ".1", "1e", "1e+", "0x1", "1_0", "NaN", "Infinity",
		`"`, `"a`, `"\`, `"\x"`, `"\u"`, `"\u12"`, `"\u123g"`, `"\ud800"`, `"\udc00"`, `"\ud800\u0041"`, `"\ud800x"`, "\"\x00\"", "\"a\nb\"", "\"\x1f\"",
		"\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"long enough for a word \xff\"", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "]",
		"{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1]`, `{1:2}`, "}",
		"1 2", "{} {}", "{}x", "[]]", "\ufeff{}", "/**/1", "\v1", "\u00a01",
	}
	free := contractOf[any](t)
	for _, document := range bad {
		for _, d := range []string{document, `{"x":[` + document + `]}`} {
			if jsontext.Value(d).IsValid() {
				continue // such as nothing in an array
			}
			if d == "" {
				continue // which stands for {}
			}
			faults := free.Check([]byte(d))
			require.Len(t, faults, 1, "%q", d)
			require.Empty(t, faults[0].Path, "%q", d)
			require.Contains(t, faults[0].Message, "is not valid JSON: ", "%q", d)
		}
	}
	faults := contractOf[order](t).Check([]byte(`{"name":7,"sugar":true`))
	require.Len(t, faults, 1, "what isn't JSON has no other faults")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("faults", func(t *testing.T) {
		t.Parallel()
		document := []byte("[" + strings.Repeat("0,", 99) + "0]")
		require.Len(t, contractOf[[]string](t).Check(document), DefaultMaxFaults)
		c, err := For(reflect.TypeFor[[]string](), Config{MaxFaults: 3})
		require.NoError(t, err)
		require.Len(t, c.Check(document), 3)
	})
	t.Run("depth", func(t *testing.T) {
		t.Parallel()
		c := contractOf[any](t)
		nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
		require.Nil(t, c.Check(nested(MaxDepth)))
		faults := c.Check(nested(MaxDepth + 1))
		require.Len(t, faults, 1)
		require.Equal(t, "is nested deeper than 1000 levels", faults[0].Message)
		require.LessOrEqual(t, len(faults[0].Path), maxPath)
		require.Len(t, c.Check(nested(1_000_000)), 1)
	})
	t.Run("path", func(t *testing.T) {
		t.Parallel()
		long := strings.Repeat("n", maxPath-len("/a/"))
		c := contractOf[map[string]map[string]int](t)
		require.Equal(t, "/a/"+long, c.Check([]byte(`{"a":{"` + long + `":""}}`))[0].Path)
		require.Equal(t, "/a", c.Check([]byte(`{"a":{"` + long + `n":""}}`))[0].Path)
	})
}

func TestManyNames(t *testing.T) {
	t.Parallel()
	c := contractOf[map[string]any](t)
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`[a-c]{0,4}`), 0, 200).Draw(t, "names")
		var b strings.Builder
		seen := make(map[string]bool)
		twice := 0
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			if seen[name] {
				twice++
			}
			seen[name] = true
			if name != "" && rapid.Bool().Draw(t, "escaped") {
				fmt.Fprintf(&b, `"\u%04x%s"`, name[0], name[1:])
			} else {
				fmt.Fprintf(&b, "%q", name)
			}
			// An object within has names of its own.
			b.WriteString(`:{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}`)
		}
		require.Len(t, c.rule.run([]byte("{"+b.String()+"}"), plenty), twice)
	})
}

func TestCheckAllocatesNothing(t *testing.T) {
	// Not parallel: allocations are counted for the whole process.
	for _, tt := range []struct {
		name     string
		contract *Contract
		document []byte
	}{
		{"order", contractOf[order](t), benchDocument(t, 128)},
		{"large", contractOf[catalogue](t), benchDocument(t, 64<<10)},
		{"forms", contractOf[formats](t), []byte(`{"when":"2026-01-02T15:04:05Z","long":"PT1H","bytes":"AAAA","hash":"AAAAAA==","big":"12","ratio":"1/2","id":"7f4df6d0-7a0b-4f4f-9d2a-1b1b1b1b1b1b","span":"P3W","free":"ab\u00df"}`)},
		{"many members", contractOf[many](t), []byte(`{"M64":1,"M65":2,"M66":3}`)},
		{"many names", contractOf[any](t), []byte(`{` + largeMembers(2000) + `}`)},
	} {
		// One run of its own, as the pool that they come from loses some under
		// the race detector.
		c := &checker{most: 1}
		run := func() {
			c.in = tt.document
			c.document(tt.contract.rule)
			if c.faults != nil {
				t.Fatal(tt.name, c.faults)
			}
			c.reset()
		}
		run()
		// The least of a few: what the rest of the process allocates counts, too.
		least := testing.AllocsPerRun(20, run)
		for range 4 {
			least = min(least, testing.AllocsPerRun(20, run))
		}
		require.Zero(t, least, tt.name)
	}
}

func largeMembers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"member%d":%d`, i, i)
	}
	return b.String()
}

// TestConcurrent has many goroutines check good and bad documents with one
// contract.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	c := contractOf[order](t)
	documents := [][]byte{benchDocument(t, 128), []byte(`{"name":1}`), []byte(`{"x`), []byte(`{"name":"a","tags":[1,2,3,4,5]}`)}
	var want [][]Fault
	for _, d := range documents {
		want = append(want, c.Check(d))
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				at := (g + i) % len(documents)
				if got := c.Check(documents[at]); !reflect.DeepEqual(want[at], got) {
					t.Errorf("%s: %v", documents[at], got)
				}
			}
		})
	}
	wg.Wait()
}

func TestStructured(t *testing.T) {
	t.Parallel()
	require.True(t, contractOf[order](t).Structured())
	require.True(t, contractOf[*order](t).Structured())
	require.True(t, contractOf[node](t).Structured())
	require.True(t, contractOf[*node](t).Structured())
	require.True(t, contractOf[[]int](t).Structured())
	require.True(t, contractOf[*[]int](t).Structured())
	require.True(t, contractOf[map[string]any](t).Structured())
	require.False(t, contractOf[any](t).Structured())
	require.False(t, contractOf[string](t).Structured())
	require.False(t, contractOf[*time.Time](t).Structured())
	require.False(t, contractOf[*colour](t).Structured())
}

func TestFaultString(t *testing.T) {
	t.Parallel()
	require.Equal(t, "/a must be right", Fault{"/a", "must be right"}.String())
	require.Equal(t, "must be right", Fault{"", "must be right"}.String())
	text, err := json.Marshal(Fault{"/a", "must be right"})
	require.NoError(t, err)
	require.JSONEq(t, `{"path":"/a","message":"must be right"}`, string(text))
}
