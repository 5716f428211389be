package search

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var small = NewIndex([]Document{
	{ID: "1", Title: "Plumber", Places: []string{"Cape Town", "South Africa"}, Text: "You will mend pipes."},
	{ID: "2", Title: "Plumber", Places: []string{"Durban", "South Africa"}, Text: "You will mend pipes."},
	{ID: "3", Title: "Baker", Places: []string{"Durban", "South Africa"}, Text: "You will bake bread."},
	{ID: "4", Title: "Pilot", Places: []string{"Nairobi", "Kenya"}, Text: "You will fly."},
})

func TestAdvice(t *testing.T) {
	t.Parallel()
	examples := `a profession such as "Plumber", a skill, a company, or a place such as "Durban" or "Cape Town".`
	for _, test := range []struct {
		query      string
		ids        []string
		unknown    []Unknown
		didYouMean string
		advice     string
	}{
		{query: "plumber durban", ids: []string{"2", "1", "3"}},
		{
			query: "", ids: []string{},
			advice: "Say what you are looking for: " + examples,
		},
		{
			query: "jobs in the", ids: []string{},
			advice: "Say what you are looking for: " + examples,
		},
		{
			query: "astronaut", ids: []string{}, unknown: []Unknown{{Word: "astronaut"}},
			advice: `No ad mentions "astronaut". Try ` + examples,
		},
		{
			query: "plumer in capetown", ids: []string{"1"},
			unknown:    []Unknown{{"plumer", []string{"plumber"}}},
			didYouMean: "plumber capetown",
			advice:     `No ad mentions "plumer". Did you mean "plumber capetown"?`,
		},
		{
			query: "spacious bakker nairobbi", ids: []string{},
			unknown:    []Unknown{{Word: "spacious"}, {"bakker", []string{"baker"}}, {"nairobbi", []string{"nairobi"}}},
			didYouMean: "baker nairobi",
			advice:     `No ad mentions "spacious", "bakker" or "nairobbi". Did you mean "baker nairobi"?`,
		},
		{
			query: "plumber kenya", ids: []string{"4"},
			advice: "No ad has all of it; these come closest.",
		},
		{
			query: "pilot bread pipes", ids: []string{},
			advice: `No ad has enough of these words: "pilot" is in 1 ad, "bread" is in 1 ad, "pipes" is in 2 ads. Fewer words find more.`,
		},
	} {
		r := small.Search(test.query, 10)
		require.Equal(t, test.ids, found(r), test.query)
		require.Equal(t, test.unknown, r.Unknown, test.query)
		require.Equal(t, test.didYouMean, r.DidYouMean, test.query)
		require.Equal(t, test.advice, r.Advice, test.query)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int][]string{
		-1: {}, 0: {}, 1: {"1"}, 2: {"1", "2"}, 3: {"1", "2"},
	} {
		r := small.Search("plumbers", limit)
		require.Equal(t, want, found(r))
		require.Equal(t, 2, r.Total)
	}
}

func TestEmptyIndex(t *testing.T) {
	t.Parallel()
	r := NewIndex(nil).Search("plumber", 10)
	require.Zero(t, r.Total)
	require.Equal(t, "There are no ads yet.", r.Advice)
}

// A query of any length is answered, by its first words.
func TestLongQuery(t *testing.T) {
	t.Parallel()
	var words []string
	for i := range 10_000 {
		words = append(words, "baker", string(rune('a'+i%26))+string(rune('a'+i/26%26)))
	}
	r := small.Search(strings.Join(words, " "), 10)
	require.Equal(t, []string{"3"}, found(r))
	require.Len(t, r.Unknown, maxUnits-1)
}
