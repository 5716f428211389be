package search

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Hit is a document that was found.
type Hit struct {
	// ID is the document's.
	ID string
	// Score says how well the document fits, compared with the others of the
	// same result. It is above 0.
	Score float64
	// Missing are the words and names of the query that the document lacks.
	Missing []string
}

// rank returns the documents that have at least half of what the query's units
// are worth, best first.
func (x *Index) rank(q query) []Hit {
	scores := make([]float64, len(x.ids))
	worth := make([]float64, len(x.ids))  // of the units that a document has
	matched := make([]uint32, len(x.ids)) // sets of units
	total := 0.0
	for i, u := range q.units {
		weights := x.match(u)
		idf := rarity(len(weights), len(x.ids))
		total += idf
		for doc, w := range weights {
			scores[doc] += idf * w / (w + saturation)
			worth[doc] += idf
			matched[doc] |= 1 << i
		}
	}
	var hits []Hit
	for doc, set := range matched {
		if set == 0 || worth[doc] < total/2 {
			continue
		}
		h := Hit{ID: x.ids[doc], Score: scores[doc] * worth[doc] / total}
		for i, u := range q.units {
			if set&(1<<i) == 0 {
				h.Missing = append(h.Missing, u.asked)
			}
		}
		hits = append(hits, h)
	}
	slices.SortFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.ID, b.ID))
	})
	return hits
}

// match returns the documents that have the unit, with its weight in them. Where
// a document has several of the unit's terms, the best counts.
func (x *Index) match(u unit) map[int]float64 {
	weights := map[int]float64{}
	for _, term := range u.terms {
		for _, p := range x.postings[term] {
			weights[p.doc] = max(weights[p.doc], p.weight)
		}
	}
	return weights
}

// rarity is the inverse document frequency of what n of all documents have: the
// fewer, the more it is worth.
func rarity(n, all int) float64 {
	return math.Log1p((float64(all-n) + 0.5) / (float64(n) + 0.5))
}
