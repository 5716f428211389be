package contract

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// constraintTags are the struct tags that say something of a member. They are
// keywords of JSON Schema, and mean what those do for the written form.
var constraintTags = []string{
	"description", "required", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "format",
	"minItems", "maxItems", "minProperties", "maxProperties", "default", "example",
}

// constraintTag returns the name of a struct tag of this package that tag has,
// or "".
func constraintTag(tag reflect.StructTag) string {
	for _, name := range constraintTags {
		if _, ok := tag.Lookup(name); ok {
			return name
		}
	}
	return ""
}

// applyTags adds what the tags of f say to s, the schema of its type, and reports
// whether the member must be there.
func (d *deriver) applyTags(t reflect.Type, f field, s *schema) (required bool, err error) {
	for _, name := range constraintTags {
		value, ok := f.Tag.Lookup(name)
		if !ok {
			continue
		}
		if !utf8.ValidString(value) {
			return false, fmt.Errorf("tag %s: invalid UTF-8", name)
		}
		if err := d.applyTag(s, name, value); err != nil {
			return false, fmt.Errorf("tag %s: %w", name, err)
		}
	}
	if err := s.consistent(); err != nil {
		return false, err
	}
	where := fmt.Sprintf("%s.%s: tag ", t, f.Name)
	for _, v := range s.enum {
		d.claims = append(d.claims, claim{s, v, where + "enum"})
	}
	if s.types&typeNull != 0 && s.enum != nil {
		s.enum = append(s.enum, json.RawMessage("null"))
	}
	for _, v := range s.examples {
		d.claims = append(d.claims, claim{s, v, where + "example"})
	}
	if s.fallback != nil {
		d.claims = append(d.claims, claim{s, s.fallback, where + "default"})
	}

	required = !f.omitted && f.Type.Kind() != reflect.Pointer && s.fallback == nil
	if value, ok := f.Tag.Lookup("required"); ok {
		switch value {
		case "true":
			if s.fallback != nil {
				return false, errors.New("tag required: a member with a default is never missing")
			}
			required = true
		case "false":
			required = false
		default:
			return false, fmt.Errorf("tag required: %q is neither true nor false", value)
		}
	}
	return required, nil
}

func (d *deriver) applyTag(s *schema, name, value string) error {
	switch name {
	case "description":
		s.description = value
		return nil
	case "default":
		raw, err := s.literal(value)
		s.fallback = raw
		return err
	case "example":
		raw, err := s.literal(value)
		s.examples = []json.RawMessage{raw}
		return err
	case "required":
		return nil
	}
	if s.document != nil {
		return errors.New("the type says its own schema")
	}
	switch name {
	case "enum":
		return s.applyEnum(value)
	case "minimum":
		return s.applyBound(&s.minimum, value, 1)
	case "maximum":
		return s.applyBound(&s.maximum, value, -1)
	case "minLength":
		return s.applyLimit(typeString, &s.minLength, value, 1)
	case "maxLength":
		return s.applyLimit(typeString, &s.maxLength, value, -1)
	case "minItems":
		return s.applyLimit(typeArray, &s.minItems, value, 1)
	case "maxItems":
		return s.applyLimit(typeArray, &s.maxItems, value, -1)
	case "minProperties":
		return s.applyLimit(typeObject, &s.minProperties, value, 1)
	case "maxProperties":
		return s.applyLimit(typeObject, &s.maxProperties, value, -1)
	case "pattern":
		return s.applyPattern(value)
	default:
		return s.applyFormat(value)
	}
}

// want reports an error where s isn't of one of the types.
func (s *schema) want(types typeSet) error {
	if s.ref != nil {
		return fmt.Errorf("is for %s, not for a struct or a type that holds itself", types)
	}
	switch is := s.types &^ typeNull; {
	case is == 0:
		return fmt.Errorf("is for %s, and the type may be anything", types)
	case is&^types != 0:
		return fmt.Errorf("is for %s, and the type is written as %s", types, is)
	}
	return nil
}

func (s *schema) applyEnum(value string) error {
	if err := s.want(typeString | typeInteger | typeNumber); err != nil {
		return err
	}
	if value == "" {
		return errors.New("is empty")
	}
	for text := range strings.SplitSeq(value, ",") {
		raw, err := s.literal(text)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.enum, func(v json.RawMessage) bool { return string(v) == string(raw) }) {
			return fmt.Errorf("%s stands there twice", raw)
		}
		s.enum = append(s.enum, raw)
	}
	return nil
}

// applyBound sets a bound of a number. One that the type has already may only be
// drawn tighter, which is up for a minimum (sign 1) and down for a maximum (-1).
func (s *schema) applyBound(bound *json.RawMessage, value string, sign int) error {
	if err := s.want(typeInteger | typeNumber); err != nil {
		return err
	}
	if !isNumber([]byte(value)) {
		return fmt.Errorf("%q is no JSON number", value)
	}
	at := parseDecimal([]byte(value))
	if s.types&typeInteger != 0 && !at.integral() {
		return fmt.Errorf("%s is no integer", value)
	}
	if *bound != nil && at.compare(parseDecimal(*bound))*sign < 0 {
		return fmt.Errorf("%s is beyond the type's own %s", value, *bound)
	}
	*bound = json.RawMessage(value)
	return nil
}

// applyLimit sets a limit of a length; one that the type has already may only be
// drawn tighter.
func (s *schema) applyLimit(types typeSet, limit **int, value string, sign int) error {
	if err := s.want(types); err != nil {
		return err
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > maxInt {
		return fmt.Errorf("%q is no length", value)
	}
	if *limit != nil && cmp.Compare(n, **limit)*sign < 0 {
		return fmt.Errorf("%d is beyond the type's own %d", n, **limit)
	}
	*limit = &n
	return nil
}

func (s *schema) applyPattern(value string) error {
	if err := s.want(typeString); err != nil {
		return err
	}
	if s.pattern != "" {
		return errors.New("the written form of the type has a pattern already")
	}
	if _, err := regexp.Compile(value); err != nil {
		return err
	}
	s.pattern = value
	return nil
}

func (s *schema) applyFormat(value string) error {
	if err := s.want(typeString); err != nil {
		return err
	}
	if s.format != "" || s.contentEncoding != "" {
		return errors.New("the written form of the type has a format already")
	}
	if _, ok := formatOf(value); !ok || numericFormat(value) {
		return fmt.Errorf("unknown format %q", value)
	}
	s.format = value
	return nil
}

// consistent reports bounds that leave no room.
func (s *schema) consistent() error {
	if s.minimum != nil && s.maximum != nil && parseDecimal(s.minimum).compare(parseDecimal(s.maximum)) > 0 {
		return errors.New("tag minimum: is above the maximum")
	}
	for _, l := range []struct {
		name     string
		min, max *int
	}{
		{"minLength", s.minLength, s.maxLength},
		{"minItems", s.minItems, s.maxItems},
		{"minProperties", s.minProperties, s.maxProperties},
	} {
		if l.min != nil && l.max != nil && *l.min > *l.max {
			return fmt.Errorf("tag %s: is above the maximum", l.name)
		}
	}
	return nil
}

// literal reads the text of a tag as a value for s: the text itself where that is
// written as a string, else JSON.
func (s *schema) literal(text string) (json.RawMessage, error) {
	types := s.types
	if s.own != nil {
		types = s.own.types
	}
	if types&^typeNull == typeString {
		return appendString(nil, text), nil
	}
	v := jsontext.Value(text)
	if err := v.Compact(); err != nil {
		return nil, fmt.Errorf("%q is not JSON", text)
	}
	return json.RawMessage(v), nil
}
