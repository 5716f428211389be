package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/mdpmesh/mesh"
)

// explain returns an error as people see it: that of a call with its code, and with
// what is wrong with each of the parameters.
func explain(err error) string {
	var unreachable unreachableError
	var e *mesh.Error
	switch {
	case errors.As(err, &unreachable): // the call's own error says only that it was given up
		return "mesh: " + unreachable.Error()
	case !errors.As(err, &e):
		return "mesh: " + strings.TrimPrefix(err.Error(), "mesh: ")
	}
	var b strings.Builder
	name := e.Code.String()
	if own := fmt.Sprintf("code %d", int(e.Code)); name == own {
		b.WriteString("mesh: " + own)
	} else {
		fmt.Fprintf(&b, "mesh: %s (%d)", name, int(e.Code))
	}
	faults := mesh.Faults(err)
	if text := strings.TrimPrefix(e.Message, name+": "); text != "" && faults == nil {
		b.WriteString(": " + text)
	}
	for _, f := range faults {
		path := f.Path
		if path == "" {
			path = "the parameters"
		}
		b.WriteString("\n  " + path + " " + f.Message)
	}
	if reserved := e.Code >= -32768 && e.Code <= -32000; !reserved && len(e.Data) > 0 {
		b.WriteString("\n  data: " + string(e.Data)) // of others it is what was said above
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "\n  try again in %v", e.RetryAfter)
	}
	return printable(b.String())
}

// printable returns a text that others wrote without what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
