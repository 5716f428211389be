package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/mdpmesh/mesh/examples/jobboard/job"
)

// The ads were posted one after the other between these days.
var (
	firstDay = time.Date(2026, time.August, 24, 0, 0, 0, 0, time.UTC)
	days     = 84
)

// ads writes the ads of all professions, in the order of their posting.
func ads(d dice, staff []recruiter) []job.Ad {
	var all []job.Ad
	for i := range professions {
		all = append(all, adsFor(d, &professions[i], staff)...)
	}
	shuffle(d, all)
	for i := range all {
		all[i].ID = fmt.Sprintf("job-%04d", i+1)
		all[i].Posted = firstDay.AddDate(0, 0, i*days/len(all)).Format(time.DateOnly)
	}
	return all
}

// adsFor writes the ads of one profession. It deals out titles, employers and
// their places like cards, so that no two ads are alike.
func adsFor(d dice, p *profession, staff []recruiter) []job.Ad {
	type desk struct {
		by    recruiter
		place string
	}
	var desks []desk
	for _, r := range staff {
		if !slices.ContainsFunc(p.fields, func(f field) bool { return slices.Contains(r.employer.fields, f) }) {
			continue
		}
		for _, place := range r.employer.places {
			if p.desk || !places[place].Remote {
				desks = append(desks, desk{r, place})
			}
		}
	}
	shuffle(d, desks)
	titles := slices.Clone(p.titles)
	var written []job.Ad
	for i := range p.ads {
		if i%len(titles) == 0 {
			shuffle(d, titles)
		}
		at := desks[i%len(desks)]
		written = append(written, ad(d, p, titles[i%len(titles)], at.by, places[at.place]))
	}
	return written
}

func ad(d dice, p *profession, t title, by recruiter, where job.Location) job.Ad {
	a := job.Ad{
		Title:     t.name,
		Company:   by.employer.name,
		Location:  where,
		Contract:  "permanent",
		Skills:    append([]string{p.skills[0]}, some(d, p.skills[1:], 3+d.roll(2))...),
		Recruiter: by.ID,
	}
	share := 1.0
	switch roll := d.roll(100); {
	case roll < 14:
		a.Contract = "fixed term"
	case roll < 22:
		a.Contract, share = "part time", 0.6
	}
	a.Salary = salary(d, p, t.level*share, where.Country)
	a.Text = text(d, p, &a, by)
	return a
}

// salary is what a position of the level pays in the country.
func salary(d dice, p *profession, level float64, country string) job.Salary {
	m := markets[country]
	luck := 0.95 + float64(d.roll(11))/100
	offer := func(thousandRand int) int {
		v := 1000 * m.scale * math.Pow(float64(thousandRand)*level*luck, m.curve)
		if m.per == "month" {
			v /= 12
		}
		return max(1, int(math.Round(v/float64(m.step)))) * m.step
	}
	s := job.Salary{Currency: m.currency, Min: offer(p.low), Max: offer(p.high), Per: m.per}
	s.Max = max(s.Max, s.Min+m.step)
	return s
}
