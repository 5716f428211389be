package contract

import (
	"bytes"
	"reflect"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
)

// JSON is the default codec: json/v2, with the written forms of this package.
//
//   - Members that a type doesn't know are ignored, and names are told apart by
//     case. A member that stands twice and invalid UTF-8 are errors.
//   - A nil slice is [], a nil map {}, and the members of a map are sorted, so that
//     one value always gives the same bytes.
//   - Types with text methods are strings, also where they have JSON methods; a
//     type with a JSONSchema method ([Schemer]) is encoded as json/v2 has it.
//
// A JSON may be used by many goroutines at once. The zero value is ready for use.
type JSON struct {
	// plain remembers which types are encoded the same with and without the
	// written forms; looking those up costs a fifth of the time.
	plain sync.Map // reflect.Type → bool
}

var (
	plainOptions = jsonv2.Deterministic(true)
	formOptions  = jsonv2.JoinOptions(plainOptions, jsonv2.WithMarshalers(marshalers), jsonv2.WithUnmarshalers(unmarshalers))
)

// Marshal returns v as JSON.
func (j *JSON) Marshal(v any) ([]byte, error) {
	return jsonv2.Marshal(v, j.options(v))
}

// AppendMarshal adds v as JSON to dst. Where it fails it returns dst as it was.
func (j *JSON) AppendMarshal(dst []byte, v any) ([]byte, error) {
	b := buffers.Get().(*bytes.Buffer)
	*b = *bytes.NewBuffer(dst)
	err := jsonv2.MarshalWrite(b, v, j.options(v))
	out := b.Bytes()
	*b = bytes.Buffer{}
	buffers.Put(b)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// buffers holds buffers without memory of their own.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Unmarshal decodes data into v, which is a pointer that isn't nil. What v holds
// already stays where data doesn't say otherwise. [DecodeFaults] says what its
// error means.
func (j *JSON) Unmarshal(data []byte, v any) error {
	if j.isPlain(v) {
		return jsonv2.Unmarshal(data, v)
	}
	return jsonv2.Unmarshal(data, v, formOptions)
}

// options returns those to write v with.
func (j *JSON) options(v any) jsonv2.Options {
	if j.isPlain(v) {
		return plainOptions
	}
	return formOptions
}

func (j *JSON) isPlain(v any) bool {
	t := reflect.TypeOf(v)
	if t == nil {
		return true
	}
	plain, ok := j.plain.Load(t)
	if !ok {
		plain, _ = j.plain.LoadOrStore(t, isPlain(t, make(map[reflect.Type]bool)))
	}
	return plain.(bool)
}

// isPlain reports whether no value of type t can hold one that has a written form
// of its own.
func isPlain(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return true
	}
	seen[t] = true
	if t.Kind() == reflect.Pointer {
		return isPlain(t.Elem(), seen)
	}
	switch formOf(t) {
	case formKind:
	case formText:
		return !hasJSONMethods(t)
	case formFree, formOwn:
		// These pass the options on to what they write, or may do so.
		if implements(t, jsonMarshalerToType) || implements(t, jsonUnmarshalFromType) {
			return false
		}
	default:
		return false
	}
	switch t.Kind() {
	case reflect.Interface:
		return false
	case reflect.Slice, reflect.Array:
		return isPlain(t.Elem(), seen)
	case reflect.Map:
		return isPlain(t.Key(), seen) && isPlain(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if !isPlain(t.Field(i).Type, seen) {
				return false
			}
		}
	}
	return true
}
