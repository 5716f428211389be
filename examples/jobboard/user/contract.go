package user

import (
	"errors"

	"github.com/mdpmesh/mesh"
)

// Get returns one user. It fails with [ErrNotFound] where there is none with the
// id.
var Get = mesh.NewMethod[GetRequest, User]("user.get",
	mesh.Doc("Returns the user with the id."), mesh.Idempotent(), mesh.Inline())

// GetRequest is what [Get] takes.
type GetRequest struct {
	ID string `json:"id" description:"The user's id." example:"user-0007" minLength:"1" maxLength:"64"`
}

// ErrNotFound says that no user has the id.
var ErrNotFound = errors.New("user: no such user")

// codeNotFound is ErrNotFound on the wire.
const codeNotFound mesh.Code = 2001

// AddErrors adds the service's errors to those that a worker or client knows.
func AddErrors(errs *mesh.Errors) { errs.Add(codeNotFound, ErrNotFound) }
