package search

import (
	"fmt"
	"slices"
	"strings"
)

// Result is what a search found.
type Result struct {
	// Total is the number of documents found, of which Hits may be the best
	// only.
	Total int
	// Hits are the documents, best first.
	Hits []Hit
	// Unknown are the words of the query that no document has.
	Unknown []Unknown
	// DidYouMean is the query with its unknown words replaced by the likeliest
	// suggestions, or left out where there is none. It is empty if there is no
	// suggestion at all.
	DidYouMean string
	// Advice tells the person who asked, in a sentence or two, what was wrong
	// with the query and what to try. It is empty if nothing was.
	Advice string
}

// Unknown is a word that no document has.
type Unknown struct {
	Word string `json:"word"`
	// Suggestions are words that are spelled much like it, the likeliest first.
	Suggestions []string `json:"suggestions,omitempty"`
}

// Search returns the documents that fit the query best, at most limit. Finding
// nothing is not an error: the result says why.
func (x *Index) Search(q string, limit int) Result {
	parsed := x.parse(q)
	hits := x.rank(parsed)
	r := Result{Total: len(hits), Hits: hits[:min(max(limit, 0), len(hits))]}
	complete := slices.ContainsFunc(hits, func(h Hit) bool { return len(h.Missing) == 0 })
	for _, w := range parsed.unknown {
		r.Unknown = append(r.Unknown, Unknown{w, x.suggest(w)})
	}
	r.DidYouMean = didYouMean(parsed.words, r.Unknown)
	r.Advice = x.advise(parsed, &r, complete)
	return r
}

// didYouMean replaces each unknown word by the first suggestion for it.
func didYouMean(asked []string, unknown []Unknown) string {
	var better []string
	changed := false
	for _, w := range asked {
		i := slices.IndexFunc(unknown, func(u Unknown) bool { return u.Word == w })
		switch {
		case i < 0:
			better = append(better, w)
		case len(unknown[i].Suggestions) > 0:
			better = append(better, unknown[i].Suggestions[0])
			changed = true
		}
	}
	if !changed {
		return ""
	}
	return strings.Join(better, " ")
}

// advise writes the result's advice. complete says that some document has all
// that the query asks for.
func (x *Index) advise(q query, r *Result, complete bool) string {
	var says []string
	if len(r.Unknown) > 0 {
		says = append(says, "No ad mentions "+quoted(q.unknown)+".")
	}
	switch {
	case len(x.ids) == 0:
		return "There are no ads yet."
	case len(q.words) == 0:
		return "Say what you are looking for: " + x.examples() + "."
	case r.DidYouMean != "":
		says = append(says, fmt.Sprintf("Did you mean %q?", r.DidYouMean))
	case len(q.units) == 0:
		says = append(says, "Try "+x.examples()+".")
	case r.Total == 0:
		says = append(says, "No ad has enough of these words: "+x.frequencies(q)+". Fewer words find more.")
	case !complete:
		says = append(says, "No ad has all of it; these come closest.")
	}
	return strings.Join(says, " ")
}

// examples names things that can be found in any case.
func (x *Index) examples() string {
	return "a profession such as " + quoted(x.titles[:min(1, len(x.titles))]) +
		", a skill, a company, or a place such as " + quoted(x.places[:min(2, len(x.places))])
}

// frequencies says how many ads have each unit of the query.
func (x *Index) frequencies(q query) string {
	parts := make([]string, len(q.units))
	for i, u := range q.units {
		ads := "ads"
		n := len(x.match(u))
		if n == 1 {
			ads = "ad"
		}
		parts[i] = fmt.Sprintf("%q is in %d %s", u.asked, n, ads)
	}
	return strings.Join(parts, ", ")
}

// quoted lists words: "a", "b" or "c".
func quoted(words []string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", w)
	}
	return b.String()
}
