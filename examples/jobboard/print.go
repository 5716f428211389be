package main

import (
	"fmt"
	"strings"

	"github.com/mdpmesh/mesh/examples/jobboard/job"
	"github.com/mdpmesh/mesh/examples/jobboard/search"
)

// found writes the answer to a search for people.
func found(words string, a search.Answer) string {
	var b strings.Builder
	switch n := len(a.Found); {
	case n == 0:
		fmt.Fprintf(&b, "No ads for %q.\n", words)
	case n < a.Total:
		fmt.Fprintf(&b, "%d ads for %q, the best %d:\n", a.Total, words, n)
	case n == 1:
		fmt.Fprintf(&b, "One ad for %q:\n", words)
	default:
		fmt.Fprintf(&b, "%d ads for %q:\n", n, words)
	}
	if a.Advice != "" {
		fmt.Fprintln(&b, a.Advice)
	}
	for i, f := range a.Found {
		ad := &f.Posting.Ad
		fmt.Fprintf(&b, "\n%2d. %s, %s (%s)\n", i+1, ad.Title, ad.Company, ad.ID)
		details(&b, "    ", f.Posting)
		if len(f.Missing) > 0 {
			fmt.Fprintf(&b, "    without: %s\n", strings.Join(f.Missing, ", "))
		}
	}
	return b.String()
}

// shown writes one ad in full.
func shown(p job.Posting) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s (%s)\n", p.Ad.Title, p.Ad.Company, p.Ad.ID)
	details(&b, "", p)
	fmt.Fprintf(&b, "\n%s\n", p.Ad.Text)
	return b.String()
}

func details(b *strings.Builder, indent string, p job.Posting) {
	ad := &p.Ad
	fmt.Fprintf(b, "%s%s · %s · %s\n", indent, ad.Location, ad.Contract, ad.Salary)
	fmt.Fprintf(b, "%s%s\n", indent, strings.Join(ad.Skills, ", "))
	fmt.Fprintf(b, "%sposted %s", indent, ad.Posted)
	if r := p.Recruiter; r != nil {
		fmt.Fprintf(b, " by %s, %s <%s>", r.Name, r.Role, r.Email)
	}
	fmt.Fprintln(b)
}
