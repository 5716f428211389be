package main

import (
	"slices"
	"strings"

	"github.com/mdpmesh/mesh/examples/jobboard/job"
)

// text writes an ad in four short paragraphs: who asks, for what, of whom, and
// what there is in return.
func text(d dice, p *profession, a *job.Ad, by recruiter) string {
	return strings.Join([]string{
		opening(d, a, by.employer),
		duties(d, p),
		wants(d, p),
		offer(d, a, by),
	}, "\n\n")
}

func opening(d dice, a *job.Ad, c *company) string {
	what, where := article(a.Title), whereabouts(a.Location)
	ways := []string{
		c.name + " " + c.about + ". We are looking for " + what + " " + where + ".",
		c.name + " " + c.about + ". For a team that has outgrown its table we need " + what + " " + where + ".",
		"After a good year, " + c.name + " is looking for " + what + " " + where + ". The company " + c.about + ".",
		c.name + " " + c.about + ". There is more to do than we can manage, so we are hiring " + what + " " + where + ".",
		"The short version: " + c.name + " is hiring " + what + " " + where + ". The longer one: our company " + c.about + ".",
	}
	if a.Contract == "permanent" {
		ways = append(ways, "A colleague is retiring, and so "+c.name+" needs "+what+" "+where+". Who we are? Our company "+c.about+".")
	}
	if !a.Location.Remote {
		ways = append(ways,
			c.name+" "+c.about+". Our team in "+a.Location.City+" has an opening for "+what+".",
			"Work in "+a.Location.City+" as "+what+": "+c.name+" "+c.about+", and the work keeps growing.",
		)
	}
	return pick(d, ways)
}

func duties(d dice, p *profession) string {
	three := some(d, p.duties, 3)
	shuffle(d, three)
	return pick(d, []string{
		"You will " + list(three) + ".",
		"In this position you will " + list(three[:2]) + ". You will also " + three[2] + ".",
		"The job in short: " + list(three) + ".",
		"From the first month on you " + list(three[:2]) + "; later you will " + three[2] + " as well.",
	})
}

func wants(d dice, p *profession) string {
	// The first of each list is the formal requirement, which no ad leaves out.
	some := append([]string{p.wants[0]}, some(d, p.wants[1:], 2)...)
	return pick(d, []string{
		"You bring " + list(some) + ".",
		"We ask for " + list(some) + ".",
		"What counts with us: " + list(some) + ".",
		"You have " + list(some[:2]) + ". We would also like to see " + some[2] + ".",
	})
}

// offer says what comes with the position, and whom to write to.
func offer(d dice, a *job.Ad, by recruiter) string {
	var first string
	switch a.Contract {
	case "fixed term":
		first = pick(d, []string{
			"The contract runs for twelve months and may be extended.",
			"This is a position for two years, while a colleague is on leave.",
			"We can offer a contract of eighteen months.",
		})
	case "part time":
		first = pick(d, []string{
			"The position is for twenty-four hours a week.",
			"We think of three days a week; which ones is up to you.",
			"The week has twenty-five hours here, and mornings are preferred.",
		})
	default:
		first = pick(d, slices.Concat(perks, perksIn[a.Location.Country]))
	}
	second := pick(d, perks)
	if a.Location.Remote {
		second = pick(d, remotePerks)
	}
	given, _, _ := strings.Cut(by.Name, " ")
	contact := pick(d, []string{
		"Write to " + by.Name + " with your CV and a few lines about yourself.",
		given + " answers questions before you apply: just ask.",
		"Applications are read by " + by.Name + "; everybody gets an answer.",
		"Send your CV to " + given + ", without a photograph, please.",
	})
	if first == second {
		return first + " " + contact
	}
	return first + " " + second + " " + contact
}

var perks = []string{
	"We pay for one course a year of your choosing.",
	"You will have a mentor for the first three months.",
	"Working hours can be talked about.",
	"Overtime is written down and given back.",
	"There is lunch for everybody on Wednesdays.",
	"You will have twenty-five days of leave.",
	"The probation lasts three months for both sides.",
	"We share a tenth of the profit among all staff.",
	"Parents choose their shifts and hours first.",
}

var perksIn = map[string][]string{
	"South Africa": {
		"Medical aid and a provident fund are part of the package.",
		"A thirteenth cheque is paid in December.",
		"There is a generator and a borehole on site, so the work goes on.",
		"We help with the move if you come from another province.",
	},
	"Germany":        {"The ticket for public transport is on us.", "We help with the visa and the first flat."},
	"United Kingdom": {"The pension is matched up to eight per cent.", "We sponsor visas for skilled workers."},
	"Netherlands":    {"You will get a bicycle and thirty days of leave."},
	"Switzerland":    {"A half-fare travel card comes with the contract."},
}

var remotePerks = []string{
	"The team meets twice a year, and we pay for the trip.",
	"We pay for a proper chair and a fast line.",
	"Four hours of overlap with Central European Time are enough.",
	"You can rent a desk near your home at our expense.",
}

// whereabouts completes "We are looking for somebody …".
func whereabouts(l job.Location) string {
	switch {
	case l.Remote && l.Country != "":
		return "to work from home anywhere in " + l.Country
	case l.Remote:
		return "to work from wherever there is a good connection"
	}
	return "in " + l.City
}

// article puts "a" or "an" before a title. Initials are spoken letter by letter:
// an HR generalist, but a UX designer.
func article(title string) string {
	if strings.ContainsRune("AEIOi", rune(title[0])) || strings.HasPrefix(title, "HR ") {
		return "an " + title
	}
	return "a " + title
}

// list joins phrases: "a, b and c", or "a, b, and c" where a phrase has an "and"
// of its own.
func list(phrases []string) string {
	last := len(phrases) - 1
	and := " and "
	if slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(p, and) }) {
		and = ", and "
	}
	return strings.Join(phrases[:last], ", ") + and + phrases[last]
}
