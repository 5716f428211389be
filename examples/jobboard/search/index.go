package search

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Index is an inverted index: from a term to the documents that have it. It
// doesn't change once it was made, so that many goroutines may search it at once.
type Index struct {
	ids      []string             // by number
	postings map[string][]posting // by term
	terms    []string             // of postings, sorted
	phrases  phrases
	keywords map[string]int // to the number of documents, for spelling
	titles   []string       // most common first, for advice
	places   []string       // most common first, for advice
}

// posting says that a document has a term.
type posting struct {
	doc int
	// weight is the number of occurrences, weighted by field and by the
	// lengths of the document's fields.
	weight float64
}

// NewIndex returns an index of the documents.
func NewIndex(docs []Document) *Index {
	x := &Index{
		ids:      make([]string, len(docs)),
		postings: map[string][]posting{},
		phrases:  phrases{},
		keywords: map[string]int{},
	}
	counted := make([]map[string]*count, len(docs))
	lengths := make([]count, len(docs))
	var total count
	for i, d := range docs {
		x.ids[i] = d.ID
		counted[i], lengths[i] = d.count()
		for f, n := range lengths[i] {
			total[f] += n
		}
		x.phrases.add(d.Places)
		for w := range d.keywords() {
			x.keywords[w]++
		}
	}
	for i := range docs {
		for term, n := range counted[i] {
			x.postings[term] = append(x.postings[term], posting{i, weigh(n, lengths[i], total, len(docs))})
		}
	}
	x.terms = slices.Sorted(maps.Keys(x.postings))
	x.titles = common(docs, func(d Document) []string { return []string{d.Title} })
	x.places = common(docs, func(d Document) []string { return d.Places[:min(1, len(d.Places))] })
	return x
}

// weigh returns the weight of a term in a document.
func weigh(n *count, length, total count, docs int) float64 {
	sum := 0.0
	for f, tf := range n {
		if tf > 0 {
			usual := float64(total[f]) / float64(docs)
			b := tuning[f].length
			sum += tuning[f].weight * float64(tf) / (1 - b + b*float64(length[f])/usual)
		}
	}
	return sum
}

// count returns how often d has each term, and how many terms each field has.
func (d *Document) count() (terms map[string]*count, lengths count) {
	terms = map[string]*count{}
	add := func(f field, term string) {
		if terms[term] == nil {
			terms[term] = &count{}
		}
		terms[term][f]++
		lengths[f]++
	}
	addAll := func(f field, s string) {
		for _, term := range stems(s) {
			add(f, term)
		}
	}
	addAll(title, d.Title)
	for _, s := range d.Skills {
		addAll(skills, s)
	}
	for _, p := range d.Places {
		parts := stems(p)
		add(place, strings.Join(parts, " "))
		if len(parts) > 1 {
			// East London isn't London: the parts of a name count no more
			// than a mention.
			addAll(text, p)
		}
	}
	addAll(company, d.Company)
	addAll(text, d.Text)
	return terms, lengths
}

// keywords returns the words of d that are worth asking for, unstemmed.
func (d *Document) keywords() map[string]bool {
	set := map[string]bool{}
	for _, s := range slices.Concat([]string{d.Title, d.Company}, d.Skills, d.Places) {
		for _, w := range words(s) {
			set[w] = true
		}
	}
	return set
}

// common returns the values that documents have, the most common first.
func common(docs []Document, values func(Document) []string) []string {
	n := map[string]int{}
	for _, d := range docs {
		for _, v := range values(d) {
			n[v]++
		}
	}
	return slices.SortedFunc(maps.Keys(n), func(a, b string) int {
		return cmp.Or(cmp.Compare(n[b], n[a]), strings.Compare(a, b))
	})
}
