package search

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func found(r Result) []string {
	ids := []string{}
	for _, h := range r.Hits {
		ids = append(ids, h.ID)
	}
	return ids
}

func TestRanking(t *testing.T) {
	t.Parallel()
	south := "South Africa"
	filler := Document{Title: "Baker", Skills: []string{"sourdough"}, Places: []string{"Durban", south}, Company: "Crust & Co", Text: "You will bake bread."}
	for _, test := range []struct {
		name  string
		query string
		docs  []Document // beside some others that don't fit
		want  []string
	}{
		{
			"the title counts more than the skills, and these more than the text", "welder",
			[]Document{
				{ID: "text", Title: "Fitter", Text: "You will help the welder with the frames."},
				{ID: "skills", Title: "Fitter", Skills: []string{"welder"}, Text: "You will fit frames."},
				{ID: "title", Title: "Welder", Text: "You will fit frames."},
			},
			[]string{"title", "skills", "text"},
		},
		{
			"more occurrences count more", "kelp",
			[]Document{
				{ID: "once", Title: "Diver", Text: "You will dive for kelp and see what else there is."},
				{ID: "twice", Title: "Diver", Text: "You will dive for kelp and see what else is in kelp."},
			},
			[]string{"twice", "once"},
		},
		{
			"a mention in a short text counts more than one in a long text", "kelp",
			[]Document{
				{ID: "long", Title: "Diver", Text: strings.Repeat("The sea is deep and cold. ", 20) + "There is kelp."},
				{ID: "short", Title: "Diver", Text: "There is kelp."},
			},
			[]string{"short", "long"},
		},
		{
			"a rare word counts more than a common one", "kelp diver",
			[]Document{
				{ID: "common 1", Title: "Diver"}, {ID: "common 2", Title: "Diver"}, {ID: "common 3", Title: "Diver"},
				{ID: "rare", Title: "Gatherer", Text: "There is kelp."},
			},
			[]string{"rare"},
		},
		{
			"what has everything comes first, what has most follows", "go developer cape town",
			[]Document{
				{ID: "elsewhere", Title: "Go Developer", Places: []string{"Durban", south}},
				{ID: "all", Title: "Developer (Go)", Places: []string{"Cape Town", south}},
				{ID: "other", Title: "Java Developer", Places: []string{"East London", south}, Text: "The town has a cape."},
			},
			[]string{"all", "elsewhere"},
		},
		{
			"a name of several words is one place", "london",
			[]Document{
				{ID: "east", Title: "Cook", Places: []string{"East London", south}},
				{ID: "london", Title: "Cook", Places: []string{"London", "United Kingdom"}},
			},
			[]string{"london", "east"},
		},
		{
			"and found only as a whole", "east london",
			[]Document{
				{ID: "london", Title: "Cook", Places: []string{"London", "United Kingdom"}, Text: "The windows look east."},
				{ID: "east", Title: "Cook", Places: []string{"East London", south}},
			},
			[]string{"east"},
		},
		{
			"without its space, too", "capetown",
			[]Document{{ID: "1", Title: "Cook", Places: []string{"Cape Town", south}}},
			[]string{"1"},
		},
		{
			"case, diacritics and plurals don't matter", "MIDWIVES nurses são-paulo",
			[]Document{{ID: "1", Title: "Nurse", Places: []string{"SAO PAULO"}, Text: "midwives"}},
			[]string{"1"},
		},
		{
			"other names", "golang dev in joburg",
			[]Document{{ID: "1", Title: "Go Developer", Places: []string{"Johannesburg"}}},
			[]string{"1"},
		},
		{
			"other names of several words", "front end developer, port elizabeth",
			[]Document{{ID: "1", Title: "Frontend Developer", Places: []string{"Gqeberha"}}},
			[]string{"1"},
		},
		{
			"the beginning of a word", "electr",
			[]Document{{ID: "1", Title: "Electrician"}, {ID: "2", Title: "Fitter", Text: "electric drills"}, {ID: "3", Title: "Actor"}},
			[]string{"1", "2"},
		},
		{
			"but not of one that is there", "wine",
			[]Document{{ID: "1", Title: "Winemaker"}, {ID: "2", Title: "Wine Steward"}},
			[]string{"2"},
		},
		{
			"saying it twice changes nothing", "go developers go developer go",
			[]Document{{ID: "1", Title: "Go Developer"}, {ID: "2", Title: "Go Guide"}, {ID: "3", Title: "Chief Developer"}},
			[]string{"1", "2", "3"},
		},
		{
			"equals come in the order of their ids", "cook",
			[]Document{{ID: "b", Title: "Cook"}, {ID: "a", Title: "Cook"}, {ID: "c", Title: "Cook"}},
			[]string{"a", "b", "c"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			docs := slices.Clone(test.docs)
			for i := range 8 {
				other := filler
				other.ID = fmt.Sprint("filler ", i)
				docs = append(docs, other)
			}
			r := NewIndex(docs).Search(test.query, 100)
			require.Equal(t, test.want, found(r))
			require.Equal(t, len(test.want), r.Total)
			require.Empty(t, r.Unknown)
		})
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	x := NewIndex([]Document{
		{ID: "1", Title: "Go Developer", Places: []string{"Durban"}},
		{ID: "2", Title: "Chef", Places: []string{"Cape Town"}},
	})
	r := x.Search("go developers, cape town", 10)
	require.Equal(t, []string{"1"}, found(r))
	require.Equal(t, []string{"cape town"}, r.Hits[0].Missing)
}

// The index ranks as a reader of all documents would who knows the formula.
func TestRankAgainstReadingEverything(t *testing.T) {
	t.Parallel()
	word := rapid.SampledFrom([]string{"ant", "bee", "cow", "dog", "elk", "fox", "elks"})
	sentence := rapid.Map(rapid.SliceOfN(word, 0, 6), func(w []string) string { return strings.Join(w, " ") })
	placeName := rapid.SampledFrom([]string{"Ant Hill", "Fox", "New Fox", "New Fox Hill", "Cow"})
	document := rapid.Custom(func(t *rapid.T) Document {
		return Document{
			Title:   sentence.Draw(t, "title"),
			Skills:  rapid.SliceOfN(sentence, 0, 3).Draw(t, "skills"),
			Company: sentence.Draw(t, "company"),
			Places:  rapid.SliceOfNDistinct(placeName, 0, 2, rapid.ID).Draw(t, "places"),
			Text:    sentence.Draw(t, "text"),
		}
	})
	part := rapid.OneOf(word, placeName, rapid.Just("hill"))
	rapid.Check(t, func(t *rapid.T) {
		docs := rapid.SliceOfN(document, 0, 12).Draw(t, "docs")
		for i := range docs {
			docs[i].ID = fmt.Sprintf("%02d", i)
		}
		q := strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "query"), " ")
		want := readEverything(docs, q)
		got := NewIndex(docs).Search(q, len(docs)).Hits
		require.Len(t, got, len(want))
		require.True(t, slices.IsSortedFunc(got, byScore))
		// The two add up in another order, so that equals may change places.
		slices.SortFunc(got, func(a, b Hit) int { return strings.Compare(a.ID, b.ID) })
		for i := range got {
			require.Equal(t, want[i].ID, got[i].ID)
			require.InDelta(t, want[i].Score, got[i].Score, 1e-9)
			var missing []string
			for _, m := range got[i].Missing {
				missing = append(missing, strings.Join(stems(m), " "))
			}
			require.Equal(t, want[i].Missing, missing)
		}
	})
}

func byScore(a, b Hit) int { return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.ID, b.ID)) }

// readEverything scores each document on its own, from the definition. The hits
// are in the order of the documents.
func readEverything(docs []Document, q string) []Hit {
	// The fields of a document as lists of terms.
	fields := func(d Document) (all [numFields][]string) {
		all[title] = stems(d.Title)
		all[skills] = stems(strings.Join(d.Skills, " "))
		all[company] = stems(d.Company)
		all[text] = stems(d.Text)
		for _, p := range d.Places {
			parts := stems(p)
			all[place] = append(all[place], strings.Join(parts, " "))
			if len(parts) > 1 {
				all[text] = append(all[text], parts...)
			}
		}
		return all
	}
	var usual [numFields]float64
	names := map[string]bool{}
	for _, d := range docs {
		for f, terms := range fields(d) {
			usual[f] += float64(len(terms)) / float64(len(docs))
		}
		for _, p := range d.Places {
			names[strings.Join(stems(p), " ")] = true
		}
	}
	weight := func(d Document, term string) float64 {
		sum := 0.0
		for f, terms := range fields(d) {
			for _, other := range terms {
				if other == term {
					b := tuning[f].length
					sum += tuning[f].weight / (1 - b + b*float64(len(terms))/usual[f])
				}
			}
		}
		return sum
	}
	having := func(term string) (n int) {
		for _, d := range docs {
			if weight(d, term) > 0 {
				n++
			}
		}
		return n
	}
	// The longest names first, then words; what nobody has isn't a unit.
	var units []string
	for rest := stems(q); len(rest) > 0; {
		n := min(3, len(rest))
		for n > 1 && !names[strings.Join(rest[:n], " ")] {
			n--
		}
		unit := strings.Join(rest[:n], " ")
		if having(unit) > 0 && !slices.Contains(units, unit) {
			units = append(units, unit)
		}
		rest = rest[n:]
	}
	rarity := func(unit string) float64 {
		n := float64(having(unit))
		return math.Log1p((float64(len(docs)) - n + 0.5) / (n + 0.5))
	}
	total := 0.0
	for _, u := range units {
		total += rarity(u)
	}
	var hits []Hit
	for _, d := range docs {
		h, worth := Hit{ID: d.ID}, 0.0
		for _, u := range units {
			if w := weight(d, u); w > 0 {
				h.Score += rarity(u) * w / (w + saturation)
				worth += rarity(u)
			} else {
				h.Missing = append(h.Missing, u)
			}
		}
		if worth > 0 && worth >= total/2 {
			h.Score *= worth / total
			hits = append(hits, h)
		}
	}
	return hits
}
