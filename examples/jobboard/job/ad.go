package job

import (
	"strconv"
	"strings"
)

// Ad is one advertised position.
type Ad struct {
	// ID names the ad: "job-0042". Higher numbers were posted later.
	ID string `json:"id"`
	// Title is the headline: "Senior Go Developer".
	Title string `json:"title"`
	// Company is the employer's name.
	Company string `json:"company"`
	// Location says where the work is done.
	Location Location `json:"location"`
	// Contract is "permanent", "fixed term" or "part time".
	Contract string `json:"contract"`
	// Salary is what the employer offers, before tax.
	Salary Salary `json:"salary"`
	// Skills are short names of what the position needs, most wanted first.
	Skills []string `json:"skills"`
	// Text is the ad itself, its paragraphs separated by an empty line.
	Text string `json:"text"`
	// Posted is the day on which the ad appeared: "2026-10-14".
	Posted string `json:"posted"`
	// Recruiter is the id of the user to write to.
	Recruiter string `json:"recruiter"`
}

// Location is where the work of an [Ad] is done. A remote position has no city;
// its country, if any, is where applicants must live.
type Location struct {
	City    string `json:"city,omitempty"`
	Region  string `json:"region,omitempty"`
	Country string `json:"country,omitempty"`
	Remote  bool   `json:"remote,omitempty"`
}

// String returns the location as a person would write it: "Stellenbosch, South
// Africa" or "Remote (South Africa)".
func (l Location) String() string {
	switch {
	case l.Remote && l.Country != "":
		return "Remote (" + l.Country + ")"
	case l.Remote:
		return "Remote"
	case l.Country == "" || l.Country == l.City:
		return l.City
	}
	return l.City + ", " + l.Country
}

// Salary is a range in whole units of a currency.
type Salary struct {
	// Currency is the ISO 4217 code: "ZAR".
	Currency string `json:"currency"`
	Min      int    `json:"min"`
	Max      int    `json:"max"`
	// Per is "month" or "year".
	Per string `json:"per"`
}

// String returns the range with its digits in groups of three: "ZAR 45 000 –
// 60 000 a month".
func (s Salary) String() string {
	return s.Currency + " " + grouped(s.Min) + " – " + grouped(s.Max) + " a " + s.Per
}

// grouped writes n with a no-break space between groups of three digits.
func grouped(n int) string {
	var b strings.Builder
	digits := strconv.Itoa(n)
	for i, d := range []byte(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteRune('\u00a0')
		}
		b.WriteByte(d)
	}
	return b.String()
}
