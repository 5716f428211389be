// Package search is the job board's search service: an inverted index over the
// ads, which it reads from the job service when it starts.
//
// # How ads are ranked
//
// A query is cut into units: a word, or a place name of several words such as
// "Cape Town". An ad scores by BM25F for every unit that it has. BM25 rates a
// word higher the rarer it is, and more occurrences higher, with less and less
// effect; the F stands for fields, which weigh in before that: a word in the
// title counts more than one in the running text. An ad that lacks some of the
// units is rated down, and one that lacks more than half of what they are worth
// isn't found.
//
// Words are compared without case, diacritics and plural endings: "Zürich" is
// "zurich", and "nurses" is "nurse". A word that no ad has is taken for the
// beginning of one ("electr"); if it isn't that either, the answer names it,
// with words that are spelled much like it.
package search
