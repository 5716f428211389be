// Package leg decides what becomes of a test that lacks something on this machine:
// libraries, rights, programs. Such tests are grouped into legs, each with a name.
// A test whose leg can't run is skipped, but fails where the environment variable
// MESH_REQUIRE, names with commas between them, has its leg's.
package leg

import (
	"os"
	"slices"
	"strings"
)

// TB is what Need needs of a test.
type TB interface {
	Helper()
	Skip(args ...any)
	Fatal(args ...any)
}

// Need ends a test of a leg, if lack says that something is missing, and what to do
// about it: with a failure where the leg is required, else by skipping.
func Need(t TB, leg, lack string) {
	t.Helper()
	switch {
	case lack == "":
	case Required(leg):
		t.Fatal(lack)
	default:
		t.Skip(lack)
	}
}

// Required reports whether a leg must run.
func Required(leg string) bool {
	return slices.ContainsFunc(strings.Split(os.Getenv("MESH_REQUIRE"), ","), func(name string) bool {
		return strings.TrimSpace(name) == leg
	})
}
