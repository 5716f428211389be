package search

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxUnits bounds the work that one query can cause; what is beyond it is left
// out. It is also the number of bits in a set of units.
const maxUnits = 32

// minPrefix is the number of letters from which a word that no ad has is taken
// for the beginning of words.
const minPrefix = 4

// query is a query made ready for an index.
type query struct {
	words   []string // folded, without aliases and stop words
	units   []unit   // what some document has
	unknown []string // the words that no document has
}

// unit is what a document has or lacks as a whole.
type unit struct {
	asked string   // as in the query, folded
	terms []string // each of them will do
}

func (x *Index) parse(q string) query {
	parsed := query{words: expand(words(q))}
	for rest := parsed.words; len(rest) > 0 && len(parsed.units)+len(parsed.unknown) < maxUnits; {
		term, n := x.phrases.first(rest)
		if n > 0 {
			parsed.add(unit{term, []string{term}})
			rest = rest[n:]
			continue
		}
		word := rest[0]
		rest = rest[1:]
		if terms := x.lookUp(word); len(terms) > 0 {
			parsed.add(unit{word, terms})
		} else if !slices.Contains(parsed.unknown, word) {
			parsed.unknown = append(parsed.unknown, word)
		}
	}
	return parsed
}

// add adds a unit, unless the query has it already.
func (q *query) add(u unit) {
	if !slices.ContainsFunc(q.units, func(v unit) bool { return slices.Equal(u.terms, v.terms) }) {
		q.units = append(q.units, u)
	}
}

// lookUp returns the terms that a word of a query stands for.
func (x *Index) lookUp(word string) []string {
	term := stem(word)
	if _, ok := x.postings[term]; ok {
		return []string{term}
	}
	if utf8.RuneCountInString(term) < minPrefix {
		return nil
	}
	from, _ := slices.BinarySearch(x.terms, term)
	n := slices.IndexFunc(x.terms[from:], func(t string) bool { return !strings.HasPrefix(t, term) })
	if n < 0 {
		n = len(x.terms) - from
	}
	return x.terms[from : from+n]
}
