package contract

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestFill(t *testing.T) {
	t.Parallel()
	c := contractOf[defaults](t)
	const rest = `"limit":20,"sort":"name","page":{"size":10,"first":1},"labels":{"a":"b"},"wait":"PT1.5S","exact":true,"sizes":[1,2]`
	for _, tt := range []struct{ name, document, want string }{
		{"nothing given", ``, `{` + rest + `}`},
		{"an empty object", `{}`, `{` + rest + `}`},
		{"spaces", " { \n } ", " {" + rest + " \n } "},
		{"null is not absent", `{"exact":null}`, `{"limit":20,"sort":"name","page":{"size":10,"first":1},"labels":{"a":"b"},"wait":"PT1.5S","sizes":[1,2],"exact":null}`},
		{"within a member", `{"page":{"size":5},"limit":1,"sort":"price","labels":{},"wait":"PT0S","exact":false,"sizes":[]}`,
			`{"page":{"first":1,"size":5},"limit":1,"sort":"price","labels":{},"wait":"PT0S","exact":false,"sizes":[]}`},
		{"a pointer that is there", `{"other":{},` + rest + `}`, `{"other":{"size":10,"first":1},` + rest + `}`},
		{"a pointer that is null", `{"other":null,` + rest + `}`, ""},
		{"a struct that must be given", `{"strict":{"must":1},` + rest + `}`, `{"strict":{"may":7,"must":1},` + rest + `}`},
		{"items", `{"pages":[{},{"size":2},{"first":3,"size":4}],` + rest + `}`, `{"pages":[{"size":10,"first":1},{"first":1,"size":2},{"first":3,"size":4}],` + rest + `}`},
		{"values of a map", `{"named":{"a":{},"b":{"size":2}},` + rest + `}`, `{"named":{"a":{"size":10,"first":1},"b":{"first":1,"size":2}},` + rest + `}`},
		{"unknown members are left alone", `{"x":{"limit":{}},` + rest + `}`, ""},
		{"all given", `{` + rest + `}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, faults := c.Fill([]byte(tt.document))
			require.Nil(t, faults)
			if tt.want == "" {
				tt.want = tt.document
			}
			require.Equal(t, tt.want, string(got))
			again, faults := c.Fill(got)
			require.Nil(t, faults)
			require.Equal(t, string(got), string(again))
		})
	}
	t.Run("faults", func(t *testing.T) {
		t.Parallel()
		document := []byte(`{"limit":101}`)
		got, faults := c.Fill(document)
		require.Equal(t, []Fault{{"/limit", "must be at most 100"}}, faults)
		require.Equal(t, string(document), string(got))
	})
}

// TestFillKeeps wants a filled document to be valid, and to hold what it held.
func TestFillKeeps(t *testing.T) {
	t.Parallel()
	c := contractOf[defaults](t)
	rapid.Check(t, func(t *rapid.T) {
		document := drawDocument(t, subjectType("defaults"))
		filled, faults := c.Fill(document)
		require.Equal(t, c.Check(document), faults)
		if faults != nil {
			return
		}
		require.Nil(t, c.Check(filled), "%s", filled)
		var before, after map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(document, &before))
		require.NoError(t, json.Unmarshal(filled, &after))
		for name := range before {
			require.Contains(t, after, name)
		}
	})
}

func TestDecode(t *testing.T) {
	t.Parallel()
	c := contractOf[defaults](t)
	var codec JSON
	var v defaults
	require.Nil(t, c.Decode(&codec, []byte(`{"limit":3,"pages":[{}]}`), &v))
	yes := true
	require.Equal(t, defaults{
		Limit: 3, Sort: "name", Page: page{10, 1}, Pages: []page{{10, 1}}, Labels: map[string]string{"a": "b"},
		Wait: 1500 * time.Millisecond, Exact: &yes, Sizes: []int{1, 2},
	}, v)

	require.Equal(t, []Fault{{"/sort", `must be one of "name", "price"`}}, c.Decode(&codec, []byte(`{"sort":"x"}`), &v))
	require.Equal(t, []Fault{{"/wait", "is out of range"}}, c.Decode(&codec, []byte(`{"wait":"PT9999999999H"}`), &v))
}
