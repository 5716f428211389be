package contract

import (
	"bytes"
	"cmp"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// drawDocument draws a document that has the shape of t, with mistakes here and
// there: values of a wrong type or beyond their bounds, members that are missing,
// unknown, null or there twice, odd spelling and odd spacing.
func drawDocument(t *rapid.T, typ reflect.Type) []byte {
	d := drawer{t: t, faulty: rapid.IntRange(0, 3).Draw(t, "faulty") != 0}
	d.value(typ, "", 0)
	if d.chance(40) {
		d.out.WriteString(rapid.SampledFrom([]string{" ", "\n", "x", "{}", ",", "\x00"}).Draw(t, "tail"))
	}
	return d.out.Bytes()
}

type drawer struct {
	t      *rapid.T
	out    bytes.Buffer
	faulty bool
}

// chance reports a mistake, once in so many times.
func (d *drawer) chance(in int) bool {
	return d.faulty && rapid.IntRange(1, in).Draw(d.t, "mistake") == 1
}

func (d *drawer) pick(from ...string) string {
	return rapid.SampledFrom(from).Draw(d.t, "value")
}

func (d *drawer) space() {
	if d.chance(15) {
		d.out.WriteString(d.pick(" ", "\t", "\r\n", "  "))
	}
}

// junk are values that fit hardly anywhere.
var junk = []string{
	"null", "true", "false", "0", "-1", "-0", "1.5", "1e2", "2.0", "1e400", "1E-400", "3.4028236e38", "-0.0",
	"123456789012345678901234567890", "9223372036854775808", "-9223372036854775809", "18446744073709551615",
	"18446744073709551616", "999999999999999999", "1000000000000000000", "255", "256", "0.1", "0.30000000000000001",
	"0.3", "0.299999999999999999", "-0.1", "-0.10000000000000001", "300", "3e2",
	`""`, `"a"`, `"x\u0041"`, `"\ud83c\udf75"`, `"🍵"`, `"\ud83c"`, `"\u12"`, `"\n"`, "\"\n\"", "\"\xff\"", `"12"`, `"-0"`, `"007"`, `"1/2"`, `"0/1"`,
	"[]", "[1]", "{}", `{"a":1}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, "[[[]]]", "nul", "tru", "-", "01", "1.", ".5", "1e", "[1,]", "[,]", "{,}", `{"a"}`, `{a:1}`, "{", "[", `"`,
	`"2026-02-29T00:00:00Z"`, `"2024-02-29t23:59:60z"`, `"2024-02-29T23:59:59.123456789+14:00"`, `"P1D"`, `"PT"`, `"-PT1.5S"`, `"PT1H1.0000000001S"`,
	`"AAAA"`, `"AA=="`, `"AA="`, `"A==="`, `"AA\nA"`, `"00000000-0000-0000-0000-00000000000g"`,
}

// texts are what a string may well be, by the forms and formats that there are.
var texts = []string{
	"", "a", "ab", "abcd", "abcde", "ßß", "ßßßßß", "🍵🍵🍵🍵", "green tea", "coffee", "cocoa", "name", "price",
	"2026-01-02T15:04:05Z", "2026-01-02T15:04:05.999999999+02:00", "2026-13-02T15:04:05Z", "0000-01-01T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T15:04:05.Z",
	"PT0S", "PT1H2M3.5S", "-PT0.000000001S", "PT2562047H47M16.854775807S", "P1Y2M3DT4H5M6S", "P3W", "P", "1H", "-P1D",
	"", "AAAA", "AAA=", "AA==", "AAAAAA==", "AAAAAAA=", "AAAAAAAA", "0", "-1", "12", "-12/7", "1/0", "0/3", "1e5", "3.14",
	"7f4df6d0-7a0b-4f4f-9d2a-1b1b1b1b1b1b", "2026-01-02", "2026-1-2", "ada@example.org", "ada", "#00ff7f", "#00FF7F",
	"-128", "-129", "65535", "65536", "9223372036854775807", "9223372036854775808", "1e308", "1e309",
}

func (d *drawer) value(t reflect.Type, tag reflect.StructTag, depth int) {
	d.space()
	defer d.space()
	if d.chance(25) {
		d.out.WriteString(d.pick(junk...))
		return
	}
	if fit := tagged(tag); fit != nil && !d.chance(3) {
		if text := d.pick(fit...); t.Kind() == reflect.String || formOf(t) == formText {
			d.string(text)
		} else {
			d.out.WriteString(text)
		}
		return
	}
	if t.Kind() == reflect.Pointer {
		if depth > 4 || rapid.IntRange(0, 3).Draw(d.t, "null") == 0 {
			d.out.WriteString("null")
			return
		}
		d.value(t.Elem(), tag, depth)
		return
	}
	switch formOf(t) {
	case formKind:
		d.kind(t, depth)
	case formTime:
		d.right(time.Unix(rapid.Int64Range(-1e10, 1e11).Draw(d.t, "time"), 5).UTC())
	case formDuration:
		d.right(time.Duration(rapid.Int64().Draw(d.t, "duration")))
	case formInteger:
		d.right(big.NewInt(rapid.Int64().Draw(d.t, "integer")))
	case formRatio:
		d.right(big.NewRat(rapid.Int64().Draw(d.t, "above"), rapid.Int64Range(1, 1e6).Draw(d.t, "below")))
	case formText:
		d.string(d.pick("0", "1.5", "-20", "x"))
	case formOwn:
		if t.Kind() == reflect.String {
			d.string(d.pick("#00ff7f", "#abcdef", "red"))
		} else {
			d.out.WriteString(d.pick("[]", "[2]", "[2,4,-6]", "[2,3]", "[2,2]", "[2,2.0]"))
		}
	default:
		d.out.WriteString(d.pick(junk...))
	}
}

// tagged returns values that the tags of a field allow, or nil where they don't say
// any.
func tagged(tag reflect.StructTag) []string {
	if enum := tag.Get("enum"); enum != "" {
		return strings.Split(enum, ",")
	}
	if low, ok := tag.Lookup("minimum"); ok {
		return []string{low, cmp.Or(tag.Get("maximum"), low)}
	}
	if text, ok := tag.Lookup("example"); ok {
		return []string{text}
	}
	return nil
}

// right writes a value as the codec does.
func (d *drawer) right(v any) {
	text, err := jsonv2.Marshal(v, formOptions)
	if err != nil {
		d.t.Fatal(err)
	}
	d.out.Write(text)
}

func (d *drawer) kind(t reflect.Type, depth int) {
	switch t.Kind() {
	case reflect.Bool:
		d.out.WriteString(d.pick("true", "false"))
	case reflect.String:
		d.string(d.pick(texts...))
	case reflect.Struct:
		d.object(t, depth)
	case reflect.Map:
		d.out.WriteByte('{')
		for i := range d.length(depth, 12) {
			if i > 0 {
				d.out.WriteByte(',')
			}
			d.key(t.Key(), i)
			d.out.WriteByte(':')
			d.value(t.Elem(), "", depth+1)
		}
		d.out.WriteByte('}')
	case reflect.Slice, reflect.Array:
		if t.Elem() == reflect.TypeFor[byte]() {
			d.string(d.pick("", "AAAA", "AAA=", "AA==", "AAAAAA==", "AAAAAAA=", "AAAAAAAA"))
			return
		}
		n := d.length(depth, 5)
		if t.Kind() == reflect.Array && !d.chance(5) {
			n = t.Len()
		}
		d.out.WriteByte('[')
		for i := range n {
			if i > 0 {
				d.out.WriteByte(',')
			}
			d.value(t.Elem(), "", depth+1)
		}
		d.out.WriteByte(']')
	case reflect.Interface:
		d.out.WriteString(d.pick(junk...))
	default:
		d.number(t)
	}
}

// key draws the name of the ith entry of a map.
func (d *drawer) key(t reflect.Type, i int) {
	switch {
	case d.faulty && rapid.Bool().Draw(d.t, "any key"):
		d.string(d.pick(texts...))
	case t == timeType:
		d.right(time.Unix(int64(i), 0).UTC())
	case t.Kind() == reflect.String:
		d.string(d.pick("a", "b", "") + strconv.Itoa(i))
	default:
		d.string(strconv.Itoa(i))
	}
}

func (d *drawer) length(depth, most int) int {
	if depth > 3 {
		return 0
	}
	if !d.faulty {
		return rapid.IntRange(1, 2).Draw(d.t, "length")
	}
	return rapid.IntRange(0, most).Draw(d.t, "length")
}

func (d *drawer) number(t reflect.Type) {
	switch {
	case d.chance(4):
		d.out.WriteString(strconv.FormatFloat(rapid.Float64().Draw(d.t, "float"), 'g', -1, 64))
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		d.out.WriteString(strconv.FormatFloat(rapid.Float64Range(-1, 8).Draw(d.t, "float"), 'f', rapid.IntRange(0, 20).Draw(d.t, "digits"), 64))
	default:
		d.out.WriteString(strconv.FormatInt(rapid.Int64Range(0, 6).Draw(d.t, "integer"), 10))
	}
}

func (d *drawer) object(t reflect.Type, depth int) {
	fields, err := fieldsOf(t)
	if err != nil {
		d.t.Fatal(err)
	}
	d.out.WriteByte('{')
	first := true
	member := func(name string, t reflect.Type, tag reflect.StructTag, quoted bool) {
		if !first {
			d.out.WriteByte(',')
		}
		first = false
		d.space()
		d.string(name)
		d.space()
		d.out.WriteByte(':')
		if quoted && !d.chance(5) {
			d.string(d.pick("0", "1", "-1", "300", "65536", "1.5", "01"))
			return
		}
		d.value(t, tag, depth+1)
	}
	if rapid.IntRange(0, 4).Draw(d.t, "backwards") == 0 {
		for i, j := 0, len(fields)-1; i < j; i, j = i+1, j-1 {
			fields[i], fields[j] = fields[j], fields[i]
		}
	}
	for _, f := range fields {
		if d.chance(20) || f.omitted && rapid.Bool().Draw(d.t, "absent") {
			continue
		}
		for more := true; more; more = d.chance(40) {
			member(f.member, f.Type, f.Tag, f.quoted)
		}
		for d.chance(20) {
			member(d.pick("unknown", "x", f.member+"x", ""), reflect.TypeFor[any](), "", false)
		}
	}
	d.out.WriteByte('}')
}

// string writes text as a JSON string, in one of its many spellings.
func (d *drawer) string(text string) {
	if text != "" && d.chance(20) {
		d.out.WriteString(`"\u`)
		d.out.WriteString(strconv.FormatUint(0x10000+uint64(text[0]), 16)[1:])
		rest, _ := jsontext.AppendQuote(nil, text[1:])
		d.out.Write(rest[1:])
		return
	}
	quoted, _ := jsontext.AppendQuote(nil, text)
	d.out.Write(quoted)
}
