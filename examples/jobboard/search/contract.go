package search

import (
	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/job"
)

// Query finds ads. To find none is not an error: the answer says what to do.
var Query = mesh.NewMethod[QueryRequest, Answer]("search.query",
	mesh.Doc("Finds the ads that fit a few words best."), mesh.Idempotent())

// QueryRequest is what [Query] takes.
type QueryRequest struct {
	Q     string `json:"q" description:"What the ads are to be about: professions, skills, places, companies." example:"go developer cape town" maxLength:"500"`
	Limit int    `json:"limit" description:"How many ads are returned at most." minimum:"1" maximum:"50" default:"10"`
}

// Answer is what [Query] returns. See [Result] for the members that both have.
type Answer struct {
	Total      int       `json:"total"`
	Found      []Found   `json:"found"`
	Unknown    []Unknown `json:"unknown,omitempty"`
	DidYouMean string    `json:"did_you_mean,omitempty"`
	Advice     string    `json:"advice,omitempty"`
}

// Found is a [Hit] with its ad.
type Found struct {
	Score   float64     `json:"score"`
	Missing []string    `json:"missing,omitempty"`
	Posting job.Posting `json:"posting"`
}
