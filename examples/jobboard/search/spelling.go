package search

import (
	"cmp"
	"slices"
	"strings"
)

// maxSuggestions is how many words are offered in place of an unknown one.
const maxSuggestions = 3

// suggest returns keywords that are spelled much like word, the likeliest first.
func (x *Index) suggest(word string) []string {
	asked := []rune(word)
	within := 2
	switch {
	case len(asked) < 3:
		return nil
	case len(asked) < 6:
		within = 1
	}
	type candidate struct {
		word     string
		distance int
	}
	var found []candidate
	for w := range x.keywords {
		if d := distance(asked, []rune(w)); d <= within {
			found = append(found, candidate{w, d})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(a.distance, b.distance),
			// People rarely get the first letter wrong.
			-compareBool(strings.HasPrefix(a.word, string(asked[:1])), strings.HasPrefix(b.word, string(asked[:1]))),
			cmp.Compare(x.keywords[b.word], x.keywords[a.word]),
			strings.Compare(a.word, b.word),
		)
	})
	var best []string
	for _, c := range found[:min(maxSuggestions, len(found))] {
		best = append(best, c.word)
	}
	return best
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// distance is how many letters have to be added, left out, replaced or swapped
// with their neighbour to make b of a (optimal string alignment).
func distance(a, b []rune) int {
	var before []int // the row before the last
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
