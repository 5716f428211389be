// Package data is the job board's data set: the ads, and the recruiters who
// posted them. It is made up from beginning to end by the program in gen, and
// embedded, so that the example needs no files and no network.
package data

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/mdpmesh/mesh/examples/jobboard/job"
	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

//go:generate go run ./gen

var (
	//go:embed jobs.json
	jobs []byte
	//go:embed users.json
	users []byte
)

// Ads returns all ads, those posted first in front. Every call makes a new slice.
func Ads() ([]job.Ad, error) { return decode[job.Ad]("jobs.json", jobs) }

// Users returns all users in the order of their ids. Every call makes a new slice.
func Users() ([]user.User, error) { return decode[user.User]("users.json", users) }

func decode[T any](name string, b []byte) ([]T, error) {
	var all []T
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("data: %s: %w", name, err)
	}
	return all, nil
}
