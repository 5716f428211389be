package search

import "github.com/mdpmesh/mesh/examples/jobboard/job"

// Document is what the index knows of an ad.
type Document struct {
	// ID is returned by searches. No two documents may have the same.
	ID      string
	Title   string
	Skills  []string
	Company string
	// Places are the names by which the place may be asked for: "Cape Town",
	// "Western Cape", "South Africa". One of several words is found as a whole.
	Places []string
	Text   string
}

// NewDocument returns what is to be indexed of an ad.
func NewDocument(ad job.Ad) Document {
	d := Document{
		ID:      ad.ID,
		Title:   ad.Title,
		Skills:  ad.Skills,
		Company: ad.Company,
		Text:    ad.Contract + "\n" + ad.Text,
	}
	l := ad.Location
	for _, place := range []string{l.City, l.Region, l.Country} {
		// Singapore lies in Singapore; once is enough.
		if place != "" && (len(d.Places) == 0 || d.Places[len(d.Places)-1] != place) {
			d.Places = append(d.Places, place)
		}
	}
	if l.Remote {
		d.Places = append(d.Places, "remote")
	}
	return d
}
