package search

import (
	"strings"
	"unicode"
)

// words cuts text into folded words: runs of letters and digits. The languages
// C++, C# and .NET keep their signs; an apostrophe within a word is left out.
func words(text string) []string {
	var all []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			all = append(all, word.String())
			word.Reset()
		}
	}
	runes := []rune(text)
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return ' '
		}
		return runes[i]
	}
	for i, r := range runes {
		switch {
		case isWord(r):
			fold(&word, r)
		case word.Len() > 0 && (r == '+' || r == '#') && !isWord(at(i+1)):
			word.WriteRune(r)
		case word.Len() == 0 && r == '.' && at(i-1) != '.' && unicode.IsLetter(at(i+1)):
			word.WriteRune(r)
		case word.Len() > 0 && (r == '\'' || r == '’') && isWord(at(i+1)):
		default:
			end()
		}
	}
	end()
	return all
}

func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r)
}

// stem takes the ending of a plural from a folded word. It is the "S stemmer":
// it makes few words one that aren't, and never needs to know the language.
func stem(word string) string {
	if len(word) < 4 {
		return word
	}
	rest := word[:len(word)-1]
	switch {
	case !strings.HasSuffix(word, "s"), strings.HasSuffix(rest, "s"), strings.HasSuffix(rest, "u"):
		return word
	case strings.HasSuffix(word, "ies") && !strings.HasSuffix(word, "eies") && !strings.HasSuffix(word, "aies"):
		return strings.TrimSuffix(word, "ies") + "y"
	}
	return rest
}

// stems returns the stems of the words of text.
func stems(text string) []string {
	all := words(text)
	for i, w := range all {
		all[i] = stem(w)
	}
	return all
}
