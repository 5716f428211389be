package jsonrpc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
)

// Long strings are looked at in blocks. Wherever something stands in one, it is found.
func TestCheckValueOfLongStrings(t *testing.T) {
	t.Parallel()
	const size = 2600 // a long run, two blocks, and a rest
	for name, piece := range map[string]string{
		"nothing":             "x",
		"an escape":           `\n`,
		"a bad escape":        `\x`,
		"the end, and more":   `"x`,
		"a control character": "\x1f",
		"a null byte":         "\x00",
		"a space":             " ",
		"a delete":            "\x7f",
		"a letter":            "é",
		"half a letter":       "\xc3",
		"a byte of ones":      "\xff",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for at := range size {
				text := []byte(`["` + strings.Repeat("a", at) + piece + strings.Repeat("b", size-at) + `"]`)
				good := json.Valid(text) && utf8.Valid(text)
				require.Equal(t, good, jsonrpc.CheckValue(text) == nil, "at %d", at)
			}
		})
	}
}
