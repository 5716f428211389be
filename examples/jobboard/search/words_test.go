package search

import (
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                               nil,
		" ,;– ":                          nil,
		"Senior Go Developer":            {"senior", "go", "developer"},
		"front-end, Node.js":             {"front", "end", "node", "js"},
		"C++, C# and .NET.":              {"c++", "c#", "and", ".net"},
		"a+b = c":                        {"a", "b", "c"},
		"wait...what":                    {"wait", "what"},
		"Gqeberha.":                      {"gqeberha"},
		"wireman's licence, O’Dowda":     {"wiremans", "licence", "odowda"},
		"'quoted'":                       {"quoted"},
		"São Paulo, Zürich, Malmö, Łódź": {"sao", "paulo", "zurich", "malmo", "lodz"},
		"Straße Ærø":                     {"strasse", "aero"},
		"Cafe\u0301 décor de\u0301cor":   {"cafe", "decor", "decor"},
		"4x4 driving; 24/7":              {"4x4", "driving", "24", "7"},
		"Кейптаун 開普敦":                   {"кейптаун", "開普敦"},
		"\u0301":                         nil,
		"broken \xff\xfe utf8":           {"broken", "utf8"},
	} {
		require.Equal(t, want, words(text), "%q", text)
	}
}

func TestEveryLatinLetterFolds(t *testing.T) {
	t.Parallel()
	// Latin-1 Supplement and Latin Extended-A.
	for r := rune(0xC0); r <= 0x17F; r++ {
		if !unicode.IsLetter(r) || r == 'ſ' {
			continue
		}
		require.Regexp(t, `^[a-z]{1,2}$`, words(string(r))[0], "%q", r)
	}
}

// Words are made for looking up: cutting them again changes nothing.
func TestWordsAreStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		for _, w := range words(rapid.String().Draw(t, "text")) {
			require.Equal(t, []string{w}, words(w))
		}
	})
}

func TestStem(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"nurses": "nurse", "nurse": "nurse", "developers": "developer", "batteries": "battery", "bakeries": "bakery",
		"glass": "glass", "campus": "campus", "gas": "gas", "services": "service", "c#": "c#", "aws": "aws", "series": "sery",
		"": "",
	} {
		require.Equal(t, want, stem(word), word)
	}
}
