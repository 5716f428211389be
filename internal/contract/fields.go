package contract

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
)

// field is a struct field that is written as a member of an object.
type field struct {
	reflect.StructField

	member  string // its name in JSON
	named   bool   // the name comes from the tag
	omitted bool   // omitempty or omitzero: may be absent
	quoted  bool   // string: a number written as a string
	path    []int  // index sequence from the root struct
}

// fieldsOf lists the fields of t that are written, in the order in which they
// are, embedded ones included. Which of several fields of one name counts is
// decided as the codec does: the shallowest, and among those the only one with a
// name in its tag; else none does.
func fieldsOf(t reflect.Type) ([]field, error) {
	// The codec judges the tags; an empty object touches nothing else.
	if err := jsonv2.Unmarshal([]byte("{}"), reflect.New(t).Interface()); err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	type level struct {
		t        reflect.Type
		path     []int
		optional bool // behind an embedded pointer, whose fields are absent where it is nil
		descend  bool
	}
	var all []field
	seen := map[reflect.Type]bool{t: true}
	queue := []level{{t: t, descend: true}}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for i := range at.t.NumField() {
			f, ok, err := readField(at.t.Field(i))
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", at.t, f.Name, err)
			}
			if !ok {
				continue
			}
			f.path = append(slices.Clone(at.path), i)
			f.omitted = f.omitted || at.optional
			if !f.Anonymous || f.named {
				all = append(all, f)
				continue
			}
			if tag := constraintTag(f.Tag); tag != "" {
				return nil, fmt.Errorf("%s.%s: tag %s: an embedded struct is no member of its own", at.t, f.Name, tag)
			}
			inner, optional := f.Type, at.optional
			if inner.Kind() == reflect.Pointer {
				if inner, optional = inner.Elem(), true; !f.IsExported() {
					return nil, fmt.Errorf("%s.%s: an embedded pointer to an unexported struct can't be decoded into", at.t, f.Name)
				}
			}
			if at.descend {
				queue = append(queue, level{inner, f.path, optional, !seen[inner]})
			}
			seen[inner] = true
		}
	}
	return dominant(all), nil
}

// dominant drops the fields that another one of the same name hides, and sorts
// the rest in the order in which they stand in the source.
func dominant(all []field) []field {
	slices.SortStableFunc(all, func(a, b field) int {
		return cmp.Or(strings.Compare(a.member, b.member), cmp.Compare(len(a.path), len(b.path)), compareNamed(a, b))
	})
	var kept []field
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].member == all[0].member {
			n++
		}
		if n == 1 || len(all[0].path) != len(all[1].path) || all[0].named != all[1].named {
			kept = append(kept, all[0])
		}
		all = all[n:]
	}
	slices.SortFunc(kept, func(a, b field) int { return slices.Compare(a.path, b.path) })
	return kept
}

func compareNamed(a, b field) int {
	switch {
	case a.named == b.named:
		return 0
	case a.named:
		return -1
	}
	return 1
}

// readField reads the json tag of f, which the codec has accepted, and reports
// whether f is written at all.
func readField(f reflect.StructField) (field, bool, error) {
	tag := f.Tag.Get("json")
	if tag == "-" || !f.IsExported() && !f.Anonymous {
		return field{}, false, nil
	}
	out := field{StructField: f, member: f.Name}
	name, options, _ := strings.Cut(tag, ",")
	if name != "" {
		out.member, out.named = name, true
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty", "omitzero":
			out.omitted = true
		case "string":
			out.quoted = true
		case "embed":
			return out, false, fmt.Errorf("json tag: embed is for structs in Go's own way of embedding only")
		case "case:ignore":
			return out, false, fmt.Errorf("json tag: a schema can't say case:ignore")
		}
	}
	return out, true, nil
}
