package job

import (
	"errors"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

// Get returns one ad with its recruiter. It fails with [ErrNotFound] where there
// is no ad with the id.
var Get = mesh.NewMethod[GetRequest, Posting]("job.get",
	mesh.Doc("Returns the ad with the id, and who posted it."), mesh.Idempotent())

// GetRequest is what [Get] takes.
type GetRequest struct {
	ID string `json:"id" description:"The ad's id." example:"job-0042" minLength:"1" maxLength:"64"`
}

// Posting is an ad with the person to write to.
type Posting struct {
	Ad Ad `json:"ad"`
	// Recruiter is nil where the user service doesn't know her any more.
	Recruiter *user.User `json:"recruiter,omitempty"`
}

// List returns the ads page by page: the first page for the zero request, and
// the next one for what the page before says.
var List = mesh.NewMethod[ListRequest, Page]("job.list",
	mesh.Doc("Returns the ads page by page, in the order of their ids."), mesh.Idempotent())

// ListRequest is what [List] takes.
type ListRequest struct {
	After string `json:"after,omitempty" description:"The id after which the page begins; empty for the first page." maxLength:"64"`
	Limit int    `json:"limit" description:"How many ads a page has at most." minimum:"1" maximum:"100" default:"50"`
}

// Page is some of the ads.
type Page struct {
	Ads []Ad `json:"ads"`
	// Next is what After has to be for the next page; empty on the last one.
	Next string `json:"next,omitempty"`
}

// ErrNotFound says that no ad has the id.
var ErrNotFound = errors.New("job: no such ad")

// codeNotFound is ErrNotFound on the wire.
const codeNotFound mesh.Code = 2101

// AddErrors adds the service's errors to those that a worker or client knows.
func AddErrors(errs *mesh.Errors) { errs.Add(codeNotFound, ErrNotFound) }
