package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// location is the base that documents are compiled under. Nothing is loaded from
// it or from anywhere else.
const location = "mesh:///schema"

var errNoLoading = errors.New("schemas outside the document aren't loaded")

// noLoader loads nothing: a schema is no reason to read files or call out.
type noLoader struct{}

func (noLoader) Load(string) (any, error) { return nil, errNoLoading }

// compileLibrary compiles a schema document with the library, whose formats and
// encodings are made to mean what they mean here.
func compileLibrary(document json.RawMessage) (*jsonschema.Schema, error) {
	if err := digestible(document); err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	c.AssertContent()
	for _, name := range ownFormats {
		f, _ := formatOf(name)
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: f.validate})
	}
	c.RegisterContentEncoding(&jsonschema.Decoder{Name: "base64", Decode: decodeBase64})
	// A media type is an annotation: what it is said of isn't looked into.
	c.RegisterContentMediaType(&jsonschema.MediaType{
		Name:     "application/json",
		Validate: func([]byte) error { return nil },
	})
	if err := c.AddResource(location, doc); err != nil {
		return nil, err
	}
	return c.Compile(location)
}

// digestible reports why a document is nothing for the library: it isn't JSON, has a
// member twice, or a number that is too much for it.
func digestible(document json.RawMessage) error {
	c := newChecker(document, 1)
	defer c.release()
	c.bounded = true
	c.document(anything)
	if c.faults != nil {
		return errors.New(c.faults[0].String())
	}
	return nil
}

// ownFormats are the formats that mean here what the library's own may not.
var ownFormats = []string{
	"date-time", "duration", "uuid",
	"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double",
}

var errFormat = errors.New("wrong format")

func (f *format) validate(v any) error {
	ok := true
	switch v := v.(type) {
	case string:
		ok = f.text == nil || f.text([]byte(v))
	case json.Number:
		ok = f.number == nil || f.number([]byte(v))
	}
	if !ok {
		return errFormat
	}
	return nil
}

func decodeBase64(s string) ([]byte, error) {
	if !isBase64([]byte(s)) {
		return nil, errFormat
	}
	return []byte(s), nil
}

// libraryFormats are the formats of the library that JSON Schema knows for
// strings, for which it has the validation.
var libraryFormats = sync.OnceValue(func() map[string]*format {
	formats := make(map[string]*format)
	for _, name := range []string{
		"date", "time", "email", "hostname", "ipv4", "ipv6", "uri", "uri-reference", "uri-template",
		"iri", "iri-reference", "json-pointer", "relative-json-pointer", "regex",
	} {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(location, map[string]any{"format": name}); err != nil {
			continue
		}
		s, err := c.Compile(location)
		if err != nil || s.Format == nil {
			continue
		}
		formats[name] = &format{
			text:    func(b []byte) bool { return s.Format.Validate(string(b)) == nil },
			message: "must be of the format " + name,
		}
	}
	return formats
})

func libraryFormat(name string) (*format, bool) {
	if name == "" {
		return nil, false
	}
	f, ok := libraryFormats()[name]
	return f, ok
}

// libraryValue checks the value at in[i] with the library.
func (c *checker) libraryValue(r *rule, i int) int {
	faults, bounded := len(c.faults), c.bounded
	c.bounded = true
	end := c.value(anything, i)
	c.bounded = bounded
	// A duplicate member or an unwieldy number is nothing to go on with.
	if end < 0 || len(c.faults) > faults {
		return end
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.in[i:end]))
	if err == nil {
		err = r.library.Validate(value)
	}
	if found, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		c.libraryFaults(c.pointer(), found)
	} else if err != nil {
		c.fault("can't be checked: " + shorten(err.Error()))
	}
	return end
}

// unwieldy reports whether a number would take the library long to take apart.
func unwieldy(number []byte) bool {
	const most = 1000
	d := parseDecimal(number)
	return len(number) > most || d.lead > most || d.lead < -most
}

// libraryFaults reports what the library found, each at its own path under base.
func (c *checker) libraryFaults(base string, e *jsonschema.ValidationError) {
	at := []byte(base)
	for _, token := range e.InstanceLocation {
		at = appendToken(at, token)
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		// What is wrong stands below.
		for _, cause := range e.Causes {
			c.libraryFaults(base, cause)
		}
	case *kind.AnyOf:
		if rest := besideNull(e.Causes); len(rest) == 1 && len(e.Causes) == 2 {
			c.libraryFaults(base, rest[0])
		} else {
			c.add(string(at), libraryMessage(k))
		}
	case *kind.Required:
		for _, name := range k.Missing {
			c.add(string(appendToken(at, name)), messageRequired)
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			c.add(string(appendToken(at, name)), messageRequired+" beside "+strconv.Quote(k.Prop))
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			c.add(string(appendToken(at, name)), messageUnknown)
		}
	case *kind.PropertyNames:
		// The library lends this path, and has overwritten it since.
		c.add(base, "has a member "+strconv.Quote(shorten(k.Property))+messageName)
	default:
		c.add(string(at), libraryMessage(e.ErrorKind))
	}
}

// besideNull returns the alternatives of an anyOf but for that which is null.
func besideNull(alternatives []*jsonschema.ValidationError) []*jsonschema.ValidationError {
	return slices.DeleteFunc(slices.Clone(alternatives), func(e *jsonschema.ValidationError) bool {
		t, ok := e.ErrorKind.(*kind.Type)
		return ok && len(t.Want) == 1 && t.Want[0] == "null"
	})
}

// add reports a fault under a path of its own.
func (c *checker) add(path, message string) {
	if len(c.faults) < c.most {
		c.faults = append(c.faults, newFault(path, message))
	}
}

// libraryMessage says what the library found in the words that rules use.
func libraryMessage(found jsonschema.ErrorKind) string {
	switch k := found.(type) {
	case *kind.Type:
		return "must be of type " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.Enum:
		return "must be one of " + jsonText(k.Want...)
	case *kind.Const:
		return "must be " + jsonText(k.Want)
	case *kind.Format:
		return "must be of the format " + k.Want
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.MinLength:
		return atLeast(k.Want, "character")
	case *kind.MaxLength:
		return atMost(k.Want, "character")
	case *kind.MinItems:
		return atLeast(k.Want, "item")
	case *kind.MaxItems:
		return atMost(k.Want, "item")
	case *kind.MinProperties:
		return atLeast(k.Want, "member")
	case *kind.MaxProperties:
		return atMost(k.Want, "member")
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "must be above " + k.Want.RatString()
	case *kind.ExclusiveMaximum:
		return "must be below " + k.Want.RatString()
	case *kind.MultipleOf:
		return "must be a multiple of " + k.Want.RatString()
	case *kind.UniqueItems:
		return fmt.Sprintf("must have no item twice: %d and %d are the same", k.Duplicates[0], k.Duplicates[1])
	case *kind.ContentEncoding:
		return "must be " + k.Want
	case *kind.FalseSchema:
		return "is not allowed"
	}
	return "doesn't meet " + strconv.Quote(strings.Join(found.KeywordPath(), "/"))
}

// jsonText writes values of a schema as JSON, with commas between them.
func jsonText(values ...any) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		text, err := json.Marshal(v)
		if err != nil {
			continue // values come from JSON, so there is none that isn't
		}
		b.Write(text)
	}
	return shorten(b.String())
}
