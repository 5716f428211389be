package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func subjectType(name string) reflect.Type {
	for _, s := range subjects {
		if s.name == name {
			return s.typ
		}
	}
	panic("no subject " + name)
}

func TestFromSchema(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		schema   string
		library  bool // whether only the library can express it
		document string
		want     []Fault
	}{
		{"anything", `{}`, false, `{"a":[1]}`, nil},
		{"anything, as true", `true`, true, `{"a":[1]}`, nil},
		{"an object", `{"type":"object","required":["q"],"properties":{"q":{"type":"string","minLength":1},"limit":{"type":"integer","minimum":1,"maximum":100}}}`, false,
			`{"q":"","limit":1000}`, []Fault{{"/q", "must have at least 1 character"}, {"/limit", "must be at most 100"}}},
		{"no params for an object", `{"type":"object","required":["q"]}`, false, ``, []Fault{{"/q", "is required"}}},
		{"an integer by its value", `{"items":{"type":"integer"}}`, false, `[1,1.0,1e2,1.5]`, []Fault{{"/3", "must be an integer"}}},
		{"several types", `{"items":{"type":["string","null","integer"]}}`, false, `["a",null,1,true]`, []Fault{{"/3", "must be an integer or a string or null, not a boolean"}}},
		{"keywords without a type", `{"items":{"minLength":2,"minimum":5,"required":["a"],"minItems":1}}`, false, `["a",1,{},[],null]`, []Fault{
			{"/0", "must have at least 2 characters"}, {"/1", "must be at least 5"}, {"/2/a", "is required"}, {"/3", "must have at least 1 item"},
		}},
		{"an enum of scalars", `{"items":{"enum":["a",1,null,true]}}`, false, `["a",1.0,null,true,"b",2,false,[],{}]`, []Fault{
			{"/4", `must be one of "a", 1, null, true`}, {"/5", `must be one of "a", 1, null, true`}, {"/6", `must be one of "a", 1, null, true`},
			{"/7", `must be one of "a", 1, null, true`}, {"/8", `must be one of "a", 1, null, true`},
		}},
		{"a const", `{"items":{"const":false}}`, false, `[false,true]`, []Fault{{"/1", "must be false"}}},
		{"no other members", `{"properties":{"a":{}},"additionalProperties":false}`, false, `{"a":1,"b":2}`, []Fault{{"/b", "is not a known member"}}},
		{"members of a kind", `{"additionalProperties":{"type":"boolean"}}`, false, `{"a":1,"b":true}`, []Fault{{"/a", "must be a boolean, not a number"}}},
		{"definitions", `{"$defs":{"n":{"properties":{"next":{"$ref":"#/$defs/n"},"v":{"type":"null"}}}},"$ref":"#/$defs/n"}`, false,
			`{"next":{"next":{"v":0}}}`, []Fault{{"/next/next/v", "must be null, not a number"}}},
		{"unknown formats", `{"items":{"format":"colour"}}`, false, `["a",1]`, nil},
		{"formats", `{"items":{"type":"string","format":"ipv4"}}`, false, `["127.0.0.1","localhost"]`, []Fault{{"/1", "must be of the format ipv4"}}},
		{"durations of every kind", `{"items":{"format":"duration"}}`, false, `["P1Y2M3W","P3W","P1DT2H","-PT1.5S","P"]`, []Fault{
			{"/0", "must be a duration such as PT1H30M (ISO 8601)"}, {"/4", "must be a duration such as PT1H30M (ISO 8601)"},
		}},
		{"annotations", `{"title":"T","description":"D","default":{"a":1},"examples":[],"deprecated":true,"$comment":"C","readOnly":true,"contentMediaType":"application/json"}`, false, `"{"`, nil},
		{"a default isn't filled in", `{"properties":{"a":{"default":1}}}`, false, `{}`, nil},
		{"a media type is an annotation", `{"oneOf":[{"type":"string","contentMediaType":"application/json"}]}`, true, `"{"`, nil},
		{"contents", `{"items":{"contentEncoding":"base64"}}`, false, `["AA==","AA"]`, []Fault{{"/1", "must be base64 with padding (RFC 4648, section 4)"}}},

		{"one of", `{"oneOf":[{"type":"object"},{"type":"array"}]}`, true, `5`, []Fault{{"", `doesn't meet "oneOf"`}}},
		{"all of", `{"allOf":[{"required":["a"]},{"required":["b"]}]}`, true, `{}`, []Fault{{"/a", "is required"}, {"/b", "is required"}}},
		{"something or null", `{"properties":{"a":{"anyOf":[{"type":"object","required":["b"]},{"type":"null"}]}}}`, true, `{"a":{}}`, []Fault{{"/a/b", "is required"}}},
		{"some of", `{"anyOf":[{"type":"string"},{"type":"integer"}]}`, true, `{}`, []Fault{{"", `doesn't meet "anyOf"`}}},
		{"not", `{"not":{"type":"string"}}`, true, `"a"`, []Fault{{"", "doesn't meet \"\""}}},
		{"bounds of every kind", `{"items":{"exclusiveMinimum":0,"exclusiveMaximum":10,"multipleOf":2.5}}`, true, `[5,0,10,4]`, []Fault{
			{"/1", "must be above 0"}, {"/2", "must be below 10"}, {"/3", "must be a multiple of 5/2"},
		}},
		{"depending members", `{"dependentRequired":{"a":["b"]}}`, true, `{"a":1}`, []Fault{{"/b", `is required beside "a"`}}},
		{"names by the library", `{"propertyNames":{"maxLength":2},"minProperties":1,"not":{"type":"null"}}`, true, `{"abc":1}`, []Fault{{"", `has a member "abc", which is no name for one`}}},
		{"no items", `{"items":false}`, true, `[1]`, []Fault{{"/0", "is not allowed"}}},
		{"the library's words", `{"not":{"type":"null"},"items":{"type":"string","enum":["abc"],"const":"abc"},"maxItems":1,"minItems":1}`, true, `["x",5]`, []Fault{
			{"", "must have at most 1 item"}, {"/0", `must be "abc"`}, {"/1", "must be of type string, not number"},
		}},
		{"more of the library's words", `{"not":{"type":"null"},"minItems":9,"minProperties":2,"maxProperties":0,"items":{"properties":{
			"a":{"minLength":3,"pattern":"^x"},"b":{"maxLength":1,"format":"ipv4"},"c":{"minimum":5},"d":{"maximum":1},"e":{"contentEncoding":"base64"},"f":{"enum":[1,"x"]}},
			"additionalProperties":false}}`, true,
			`[{"a":"a","b":"bb","c":1,"d":2,"e":"?","f":0,"g":1}]`, []Fault{
				{"", "must have at least 9 items"}, {"/0/a", "must have at least 3 characters"}, {"/0/a", "must match the pattern ^x"},
				{"/0/b", "must be of the format ipv4"}, {"/0/c", "must be at least 5"}, {"/0/d", "must be at most 1"},
				{"/0/e", "must be base64"}, {"/0/f", `must be one of 1, "x"`}, {"/0/g", "is not a known member"},
			}},
		{"a member twice", `{"not":{"type":"null"}}`, true, `{"a":1,"a":2}`, []Fault{{"/a", "stands there twice"}}},
		{"an unwieldy number", `{"not":{"type":"null"},"maximum":5}`, true, `1e1000000000`, []Fault{{"", messageUnwieldy}}},
		{"another draft", `{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}],"additionalItems":false}`, true, `[1,2]`, []Fault{
			{"", `doesn't meet "additionalItems"`}, {"/0", "must be of type string, not number"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := FromSchema(json.RawMessage(tt.schema), Config{})
			require.NoError(t, err)
			require.Equal(t, tt.library, c.rule.library != nil)
			require.Equal(t, tt.schema, string(c.Schema()))
			faults := c.Check([]byte(tt.document))
			if tt.library {
				require.ElementsMatch(t, tt.want, faults)
			} else {
				require.Equal(t, tt.want, faults)
				newOracle(t, tt.name, c).agree(t, orEmpty([]byte(tt.document)))
			}
			filled, _ := c.Fill([]byte(tt.document))
			require.Equal(t, string(orEmpty([]byte(tt.document))), string(filled))
		})
	}
}

func TestBadSchema(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		``, `{`, `7`, `"x"`, `[]`, `{"type":"text"}`, `{"type":7}`, `{"minLength":-1}`, `{"minLength":"1"}`, `{"pattern":"("}`, `{"required":"a"}`,
		`{"properties":[]}`, `{"$ref":"#/$defs/none"}`, `{"$ref":"file:///etc/hostname"}`, `{"$ref":"https://example.org/schema"}`,
		`{"$schema":"https://example.org/schema"}`, `{"minLength":1e1000001}`, `{"type":"string","type":"object"}`, `{"enum":1}`, `{"$defs":{"a":{"type":"text"}}}`,
	} {
		_, err := FromSchema(json.RawMessage(schema), Config{})
		require.ErrorContains(t, err, "contract: schema: ", schema)
	}
}

// TestCircle has a schema that the rules would never come to an end of.
func TestCircle(t *testing.T) {
	t.Parallel()
	c, err := FromSchema(json.RawMessage(`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"properties":{"x":{"$ref":"#/$defs/a"}}}`), Config{})
	require.NoError(t, err)
	require.NotNil(t, c.rule.library)
	require.Len(t, c.Check([]byte(`{"x":1}`)), 1)
}

// TestParseIsDerive reads the schema of every type back, and wants the rules from
// it to be those from the type.
func TestParseIsDerive(t *testing.T) {
	t.Parallel()
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c, err := For(s.typ, Config{MaxFaults: plenty})
			require.NoError(t, err)
			again, err := FromSchema(c.Schema(), Config{MaxFaults: plenty})
			require.NoError(t, err)
			if s.name == "formats" || s.name == "pairs" {
				require.NotNil(t, again.rule.library, "it has a part for the library")
			} else {
				require.Nil(t, again.rule.library)
			}
			rapid.Check(t, func(t *rapid.T) {
				document := drawDocument(t, s.typ)
				want, got := c.Check(document), again.Check(document)
				require.Equal(t, want == nil, got == nil, "%s", document)
				if again.rule.library == nil {
					require.Equal(t, want, got, "%s", document)
				}
			})
		})
	}
}

// TestDrawnSchemas draws schemas, and wants rules and library to agree on them.
func TestDrawnSchemas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		schema := drawSchema(t, 0)
		s, err := parse(json.RawMessage(schema))
		if err != nil {
			return
		}
		compiler := compiler{definitions: make(map[*definition]*rule)}
		rules, err := compiler.compile(s)
		require.NoError(t, err)
		library, err := compileLibrary(json.RawMessage(schema))
		require.NoError(t, err)
		o := oracle{schema, rules, &rule{types: anyType, library: library}}
		for range 5 {
			o.agree(t, drawDocument(t, reflect.TypeFor[map[string]any]()))
			o.agree(t, []byte(rapid.SampledFrom(junk).Draw(t, "document")))
			o.agree(t, fmt.Appendf(nil, `{"a":%s,"b":[%s,%s]}`, rapid.SampledFrom(junk).Draw(t, "a"), rapid.SampledFrom(junk).Draw(t, "b"), rapid.SampledFrom(junk).Draw(t, "c")))
		}
	})
}

// FuzzFromSchema takes schemas from anywhere, and wants rules and library to agree
// on them.
func FuzzFromSchema(f *testing.F) {
	for n := range 50 {
		f.Add([]byte(rapid.Custom(func(t *rapid.T) string { return drawSchema(t, 0) }).Example(n)), []byte(junk[n%len(junk)]))
	}
	for _, s := range subjects {
		c, err := For(s.typ, Config{})
		require.NoError(f, err)
		f.Add([]byte(c.Schema()), []byte("{}"))
	}
	f.Fuzz(func(t *testing.T, schema, document []byte) {
		c, err := FromSchema(schema, Config{})
		if err != nil {
			return
		}
		if c.rule.library != nil {
			c.Check(document)
			return
		}
		newOracle(t, string(schema), c).agree(t, document)
	})
}

func drawSchema(t *rapid.T, depth int) string {
	var keywords []string
	for range rapid.IntRange(0, 4).Draw(t, "keywords") {
		var k string
		if depth < 3 && rapid.Bool().Draw(t, "deeper") {
			sub := drawSchema(t, depth+1)
			k = rapid.SampledFrom([]string{
				`"items":` + sub, `"properties":{"a":` + sub + `,"b":` + drawSchema(t, depth+1) + `}`, `"additionalProperties":` + sub, `"propertyNames":` + sub,
			}).Draw(t, "keyword")
		} else {
			k = rapid.SampledFrom([]string{
				`"type":"string"`, `"type":"object"`, `"type":"array"`, `"type":"number"`, `"type":"integer"`, `"type":"null"`, `"type":["boolean","null","string"]`,
				`"minLength":1`, `"maxLength":2`, `"minimum":0`, `"maximum":1.5`, `"maximum":999999999999999999.5`, `"minItems":1`, `"maxItems":1`, `"minProperties":1`, `"maxProperties":1`,
				`"pattern":"a"`, `"format":"duration"`, `"format":"int8"`, `"format":"float"`, `"format":"uint64"`, `"contentEncoding":"base64"`, `"enum":["a",1,null]`, `"const":true`,
				`"required":["a"]`, `"required":["a","z"]`, `"additionalProperties":false`,
			}).Draw(t, "keyword")
		}
		name, _, _ := strings.Cut(k, ":")
		if !strings.Contains(strings.Join(keywords, ","), name) {
			keywords = append(keywords, k)
		}
	}
	return "{" + strings.Join(keywords, ",") + "}"
}
