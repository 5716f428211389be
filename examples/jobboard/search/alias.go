package search

import "strings"

// aliases are what people also call things that the ads call otherwise. Keys and
// values are folded words with a space between them.
var aliases = map[string]string{
	"back end":       "backend",
	"bangalore":      "bengaluru",
	"cpp":            "c++",
	"cpt":            "cape town",
	"csharp":         "c#",
	"dev":            "developer",
	"dev ops":        "devops",
	"dotnet":         ".net",
	"front end":      "frontend",
	"golang":         "go",
	"gp":             "general practitioner",
	"grahamstown":    "makhanda",
	"jhb":            "johannesburg",
	"joburg":         "johannesburg",
	"jozi":           "johannesburg",
	"k8s":            "kubernetes",
	"lorry":          "truck",
	"math":           "mathematics",
	"maths":          "mathematics",
	"ml":             "machine learning",
	"munich":         "munchen",
	"nelspruit":      "mbombela",
	"nyc":            "new york",
	"port elizabeth": "gqeberha",
	"postgres":       "postgresql",
	"sre":            "site reliability engineer",
	"sysadmin":       "systems administrator",
	"uk":             "united kingdom",
	"usa":            "united states",
	"wfh":            "remote",
	"work from home": "remote",
}

// stopWords are words that a query has for the sake of grammar.
var stopWords = map[string]bool{
	"a": true, "an": true, "and": true, "as": true, "at": true, "for": true, "from": true, "i": true, "in": true,
	"job": true, "jobs": true, "me": true, "near": true, "of": true, "on": true, "or": true, "position": true,
	"positions": true, "the": true, "to": true, "vacancies": true, "vacancy": true, "want": true, "with": true,
}

// expand replaces aliases and leaves out stop words.
func expand(asked []string) []string {
	var all []string
	for len(asked) > 0 {
		n := min(3, len(asked))
		for ; n > 0; n-- {
			if other, ok := aliases[strings.Join(asked[:n], " ")]; ok {
				all = append(all, strings.Fields(other)...)
				break
			}
		}
		if n == 0 {
			n = 1
			if !stopWords[asked[0]] {
				all = append(all, asked[0])
			}
		}
		asked = asked[n:]
	}
	return all
}
