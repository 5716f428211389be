package job

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

// NewService returns the job service over the store. It asks the user service,
// through the client, for the recruiters.
func NewService(store *Store, client *mesh.Client) *mesh.Service {
	s := &service{store, client}
	return mesh.NewService("job", mesh.Doc("The ads.")).Handle(Get.With(s.get), List.With(s.list))
}

type service struct {
	store  *Store
	client *mesh.Client
}

func (s *service) get(ctx context.Context, req GetRequest) (Posting, error) {
	ad, ok := s.store.Get(req.ID)
	if !ok {
		return Posting{}, fmt.Errorf("%w with the id %q", ErrNotFound, req.ID)
	}
	recruiter, err := user.Get.Call(ctx, s.client, user.GetRequest{ID: ad.Recruiter})
	switch {
	case errors.Is(err, user.ErrNotFound):
		return Posting{Ad: ad}, nil // an ad outlives an account
	case err != nil:
		return Posting{}, fmt.Errorf("job: recruiter of %s: %w", ad.ID, err)
	}
	return Posting{Ad: ad, Recruiter: &recruiter}, nil
}

func (s *service) list(_ context.Context, req ListRequest) (Page, error) {
	ads := s.store.After(req.After, req.Limit+1) // one more tells whether there is a next page
	if len(ads) <= req.Limit {
		return Page{Ads: ads}, nil
	}
	ads = ads[:req.Limit]
	return Page{Ads: ads, Next: ads[len(ads)-1].ID}, nil
}
