package search

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSuggest(t *testing.T) {
	t.Parallel()
	x := NewIndex([]Document{
		{ID: "1", Title: "Plumber", Places: []string{"Johannesburg"}},
		{ID: "2", Title: "Maintenance Plumber", Places: []string{"São Paulo"}},
		{ID: "3", Title: "Nurse", Skills: []string{"Go", "Rust", "gRPC"}, Text: "plumbers plumbed"},
		{ID: "4", Title: "Purser", Places: []string{"Cape Town"}},
	})
	for asked, want := range map[string][]string{
		"plumer":       {"plumber"}, // a letter left out
		"plumbber":     {"plumber"},
		"plubmer":      {"plumber"}, // swapped
		"plummber":     {"plumber"},
		"johanesberg":  {"johannesburg"}, // two mistakes in a long word
		"nurce":        {"nurse"},
		"nurser":       {"nurse", "purser"}, // the first letter breaks the tie
		"pauol":        {"paulo"},
		"cpae":         {"cape"},
		"rsut":         {"rust"},
		"gx":           nil, // too short to guess
		"astronaut":    nil,
		"johaannesbrg": {"johannesburg"},
		"ghanesburg":   nil,         // three mistakes
		"plumbed":      {"plumber"}, // running text suggests nothing
	} {
		require.Equal(t, want, x.suggest(asked), asked)
	}
}

// The distance by rows is that of the plain recursive definition.
func TestDistance(t *testing.T) {
	t.Parallel()
	word := rapid.SliceOfN(rapid.SampledFrom([]rune("abé")), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		require.Equal(t, plainDistance(a, b), distance(a, b))
	})
}

func plainDistance(a, b []rune) int {
	if len(a) == 0 || len(b) == 0 {
		return len(a) + len(b)
	}
	a1, b1 := a[:len(a)-1], b[:len(b)-1]
	replaced := plainDistance(a1, b1)
	if a[len(a)-1] != b[len(b)-1] {
		replaced++
	}
	best := min(replaced, plainDistance(a1, b)+1, plainDistance(a, b1)+1)
	if len(a1) > 0 && len(b1) > 0 && a[len(a)-1] == b1[len(b1)-1] && b[len(b)-1] == a1[len(a1)-1] {
		best = min(best, plainDistance(a1[:len(a1)-1], b1[:len(b1)-1])+1)
	}
	return best
}
