package search

// field is a part of a document.
type field int

const (
	title field = iota
	skills
	place
	company
	text
	numFields
)

// The parameters of BM25F (Robertson and Zaragoza, "The Probabilistic Relevance
// Framework: BM25 and Beyond", 2009), chosen by trying queries.
const saturation = 3 // k1: the weight of occurrences that earns half of what is to be had

var tuning = [numFields]struct {
	weight float64 // how much an occurrence counts
	length float64 // b: how much a field that is longer than usual takes from it, 0 to 1
}{
	title:   {6, 0.5},
	skills:  {4, 0.3},
	place:   {6, 0.3},
	company: {2, 0.3},
	text:    {1, 0.75},
}

// count is how often a term occurs, by field.
type count [numFields]int
