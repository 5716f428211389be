package jsonrpc_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// absent is the text of a member that a body doesn't have.
const absent = "(absent)"

// reading is what a body says, in a form that is easily written and compared.
type reading struct {
	Kind                                 jsonrpc.Kind
	ID, Method, Params, Result, Error    string
	Meta                                 string
	TimeoutMS                            int64
	Key, TraceParent, TraceState, Caller string
	Attempt, Window                      int
	Strings                              map[string]string
	Ambiguous                            bool
}

// opaque is the reading of a body that is no envelope.
func opaque() reading {
	return reading{
		ID: absent, Method: absent, Params: absent, Result: absent, Error: absent, Meta: absent, TimeoutMS: -1,
		Key: absent, TraceParent: absent, TraceState: absent, Caller: absent, Window: -1,
	}
}

// read returns what e says.
func read(e *jsonrpc.Envelope) reading {
	return reading{
		Kind: e.Kind, ID: text(e.ID), Method: text(e.Method), Params: text(e.Params), Result: text(e.Result), Error: text(e.Error),
		Meta: text(e.Meta.Raw), TimeoutMS: e.Meta.TimeoutMS,
		Key: text(e.Meta.Key), TraceParent: text(e.Meta.TraceParent), TraceState: text(e.Meta.TraceState), Caller: text(e.Meta.Caller),
		Attempt: e.Meta.Attempt, Window: e.Meta.Window, Strings: e.Meta.Strings(), Ambiguous: e.Ambiguous,
	}
}

func text(b []byte) string {
	if b == nil {
		return absent
	}
	return string(b)
}

// decode reads a body with a full decoder, plainly and slowly.
func decode(body []byte) reading {
	r := opaque()
	if err := r.decode(body); err != nil {
		return opaque()
	}
	return r
}

var errOpaque = errors.New("opaque")

func (r *reading) decode(body []byte) error {
	if !utf8.Valid(body) {
		return errOpaque
	}
	members, err := object(body)
	if err != nil {
		return err
	}
	version := ""
	fields := map[string]func(raw string) error{
		"jsonrpc": into(&version, str),
		"id":      into(&r.ID, oneOf(`"-0123456789n`)),
		"method":  into(&r.Method, str),
		"params":  into(&r.Params, oneOf("{[")),
		"result":  into(&r.Result, oneOf(`"-0123456789ntf{[`)),
		"error":   into(&r.Error, oneOf("{")),
		"meta":    into(&r.Meta, oneOf("{")),
	}
	unknown, err := assign(members, fields)
	if err != nil {
		return err
	}
	for _, m := range unknown {
		r.Ambiguous = r.Ambiguous || strings.EqualFold(m.name, "method")
	}
	if r.Meta != absent {
		if err := r.decodeMeta(); err != nil {
			return err
		}
	}
	hasID, hasMethod, hasResult, hasError := r.ID != absent, r.Method != absent, r.Result != absent, r.Error != absent
	switch {
	case version != "2.0":
		return errOpaque
	case hasMethod && !hasResult && !hasError && hasID:
		r.Kind = jsonrpc.Request
	case hasMethod && !hasResult && !hasError:
		r.Kind = jsonrpc.Notification
	case hasID && hasResult && !hasMethod && !hasError:
		r.Kind = jsonrpc.Result
	case hasID && hasError && !hasMethod && !hasResult:
		r.Kind = jsonrpc.Failure
	default:
		return errOpaque
	}
	return nil
}

func (r *reading) decodeMeta() error {
	members, err := object([]byte(r.Meta))
	if err != nil {
		return err
	}
	free, err := assign(members, map[string]func(raw string) error{
		"timeout_ms":  into(&r.TimeoutMS, integer[int64](9_223_372_036_854)),
		"key":         into(&r.Key, str),
		"attempt":     into(&r.Attempt, integer[int](2_147_483_647)),
		"window":      into(&r.Window, integer[int](2_147_483_647)),
		"traceparent": into(&r.TraceParent, str),
		"tracestate":  into(&r.TraceState, str),
		"caller":      into(&r.Caller, str),
	})
	for _, m := range free {
		if m.raw[0] != '"' {
			continue
		}
		if r.Strings == nil {
			r.Strings = map[string]string{}
		}
		// Halves of surrogates are replaced and reported; the former counts.
		value, _ := jsontext.AppendUnquote(nil, m.raw)
		r.Strings[m.name] = string(value)
	}
	return err
}

type member struct{ name, raw string }

// object returns the members of a JSON object in their order.
func object(raw []byte) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '{' {
		return nil, errOpaque
	}
	var members []member
	for dec.PeekKind() != '}' {
		quoted, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		name, _ := jsontext.AppendUnquote(nil, quoted)
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		members = append(members, member{string(name), string(value)})
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errOpaque
	}
	return members, nil
}

// assign calls the field of each member's name, at most once, and returns the
// members that have none.
func assign(members []member, fields map[string]func(raw string) error) (rest []member, err error) {
	seen := map[string]bool{}
	for _, m := range members {
		set, ok := fields[m.name]
		if !ok {
			rest = append(rest, m)
			continue
		}
		if seen[m.name] {
			return nil, errOpaque
		}
		seen[m.name] = true
		if err := set(m.raw); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// into is a field that is set to what parse makes of the raw value.
func into[T any](field *T, parse func(raw string) (T, error)) func(raw string) error {
	return func(raw string) (err error) {
		*field, err = parse(raw)
		return err
	}
}

// str parses a string.
func str(raw string) (string, error) {
	if raw[0] != '"' {
		return "", errOpaque
	}
	s, err := jsontext.AppendUnquote(nil, raw)
	return string(s), err
}

// oneOf parses a value that begins with one of these bytes to its raw text.
func oneOf(starts string) func(raw string) (string, error) {
	return func(raw string) (string, error) {
		if strings.IndexByte(starts, raw[0]) < 0 {
			return "", errOpaque
		}
		return raw, nil
	}
}

// integer parses a number from 0 to limit.
func integer[T int | int64](limit uint64) func(raw string) (T, error) {
	return func(raw string) (T, error) {
		n, err := strconv.ParseUint(raw, 10, 64)
		if err != nil || n > limit {
			return 0, errOpaque
		}
		return T(n), nil
	}
}

// checkScan holds the scanners to the full decoder and to each other.
func checkScan(t require.TestingT, body []byte) {
	var full, head jsonrpc.Envelope
	kept := bytes.Clone(body)
	jsonrpc.Scan(body, &full)
	jsonrpc.ScanHead(body, &head)
	require.Equal(t, kept, body, "the body was written to")

	got := read(&full)
	require.Equal(t, decode(body), got, "%q: %s", body, full.Reason)
	require.True(t, full.Complete)
	require.Equal(t, full.Kind == jsonrpc.Opaque, full.Reason != "", full.Reason)
	require.Equal(t, full.Meta.Raw != nil, full.Meta.Present)

	switch {
	case head.Complete:
		require.Equal(t, full, head)
	case full.Kind == jsonrpc.Opaque:
		// The fault is in what the head scan didn't read.
	default:
		want := got
		want.Result = absent
		require.False(t, head.Ambiguous && !full.Ambiguous)
		want.Ambiguous = head.Ambiguous // it may stand behind what was read
		if head.Params == nil {
			want.Params = absent
		}
		if head.Kind == jsonrpc.Result && !head.Meta.Present { // it may stand behind the result
			want.Meta, want.Strings, want.TimeoutMS, want.Attempt, want.Window = absent, nil, -1, 0, -1
			want.Key, want.TraceParent, want.TraceState, want.Caller = absent, absent, absent, absent
		}
		require.Equal(t, want, read(&head), "%q", body)
		require.True(t, head.Kind == jsonrpc.Request && head.Params == nil || head.Kind == jsonrpc.Result, head.Kind)
	}
	if full.ID != nil {
		checkReplaceID(t, body, &full)
	}
}

// checkReplaceID replaces the id of body by another and by itself.
func checkReplaceID(t require.TestingT, body []byte, e *jsonrpc.Envelope) {
	const id = `"another"`
	replaced := jsonrpc.ReplaceID([]byte("before"), body, e, []byte(id))
	require.Equal(t, "before", string(replaced[:6]))
	replaced = replaced[6:]
	want := read(e)
	want.ID = id
	var other jsonrpc.Envelope
	jsonrpc.Scan(replaced, &other)
	require.Equal(t, want, read(&other), "%q", replaced)
	require.Equal(t, string(body), string(jsonrpc.ReplaceID(nil, replaced, &other, e.ID)))
}
