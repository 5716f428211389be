package user

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh"
)

// NewService returns the user service over the store.
func NewService(store *Store) *mesh.Service {
	get := func(_ context.Context, req GetRequest) (User, error) {
		u, ok := store.Get(req.ID)
		if !ok {
			return User{}, fmt.Errorf("%w with the id %q", ErrNotFound, req.ID)
		}
		return u, nil
	}
	return mesh.NewService("user", mesh.Doc("The people who post ads.")).Handle(Get.With(get))
}
