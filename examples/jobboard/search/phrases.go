package search

import "strings"

// maxPhrase is the number of words that a name can have to be found as a whole.
const maxPhrase = 4

// phrases maps the place names of several words to their terms, and also what
// people type who leave out the spaces: "capetown".
type phrases map[string]string

func (p phrases) add(places []string) {
	for _, name := range places {
		parts := stems(name)
		if len(parts) < 2 || len(parts) > maxPhrase {
			continue
		}
		term := strings.Join(parts, " ")
		p[term] = term
		p[strings.Join(parts, "")] = term
	}
}

// first returns the term of the longest name that the words begin with, and how
// many words it takes; 0 if there is none.
func (p phrases) first(words []string) (term string, n int) {
	for n := min(maxPhrase, len(words)); n > 0; n-- {
		parts := make([]string, n)
		for i, w := range words[:n] {
			parts[i] = stem(w)
		}
		if term, ok := p[strings.Join(parts, " ")]; ok {
			return term, n
		}
	}
	return "", 0
}
