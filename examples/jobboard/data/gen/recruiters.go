package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

// recruiter is a user together with the place that she or he hires for.
type recruiter struct {
	user.User

	employer *company
}

// recruiters gives every company one recruiter and every third a second one.
func recruiters(d dice) []recruiter {
	given, family := slices.Clone(givenNames), slices.Clone(familyNames)
	shuffle(d, given)
	shuffle(d, family)
	var staff []recruiter
	for i := range companies {
		c := &companies[i]
		for range 1 + (i%3)/2 {
			n := len(staff)
			// The second round through the given names meets other family names.
			first, last := given[n%len(given)], family[(n+n/len(given)*7)%len(family)]
			home := pick(d, c.places)
			for places[home].Remote {
				home = c.places[0]
				if places[home].Remote {
					home = "Cape Town"
				}
			}
			staff = append(staff, recruiter{employer: c, User: user.User{
				ID:        fmt.Sprintf("user-%04d", n+1),
				Name:      first + " " + last,
				Company:   c.name,
				Role:      pick(d, recruiterRoles),
				Email:     mailbox(first) + "." + mailbox(last) + "@" + c.domain + ".example",
				City:      places[home].City,
				Languages: spoken(d, places[home].Country),
				Joined:    fmt.Sprintf("%d-%02d-%02d", 2019+d.roll(7), 1+d.roll(12), 1+d.roll(28)),
			}})
		}
	}
	return staff
}

func users(staff []recruiter) []user.User {
	all := make([]user.User, 0, len(staff))
	for _, r := range staff {
		all = append(all, r.User)
	}
	return all
}

// spoken returns two or three languages of a country, the most common one among
// them; in a country that the table doesn't have it is English alone.
func spoken(d dice, country string) []string {
	all := languages[country]
	if all == nil {
		return []string{"English"}
	}
	return append([]string{all[0]}, some(d, all[1:], 1+d.roll(2))...)
}

var ascii = strings.NewReplacer(
	"é", "e", "É", "E", "ë", "e", "ê", "e", "á", "a", "ó", "o", "ü", "u",
	"'", "", " ", "", "-", "",
)

// mailbox returns a name as it stands in an e-mail address.
func mailbox(name string) string { return strings.ToLower(ascii.Replace(name)) }
