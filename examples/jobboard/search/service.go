package search

import (
	"context"
	"errors"
	"fmt"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/job"
)

// Open reads all ads from the job service, through the client, and returns a
// search service over them. The service asks the job service again for the ads
// that it finds, so that it answers with what they are by then.
func Open(ctx context.Context, client *mesh.Client) (*mesh.Service, error) {
	docs, err := read(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("search: reading the ads: %w", err)
	}
	s := &service{NewIndex(docs), client}
	return mesh.NewService("search", mesh.Doc("Finds ads.")).Handle(Query.With(s.query)), nil
}

// read gets all ads, page by page.
func read(ctx context.Context, client *mesh.Client) ([]Document, error) {
	var docs []Document
	for next := (job.ListRequest{Limit: 100}); ; {
		page, err := job.List.Call(ctx, client, next)
		if err != nil {
			return nil, err
		}
		for _, ad := range page.Ads {
			docs = append(docs, NewDocument(ad))
		}
		if page.Next == "" {
			return docs, nil
		}
		next.After = page.Next
	}
}

type service struct {
	index  *Index
	client *mesh.Client
}

func (s *service) query(ctx context.Context, req QueryRequest) (Answer, error) {
	r := s.index.Search(req.Q, req.Limit)
	answer := Answer{
		Total: r.Total, Found: make([]Found, 0, len(r.Hits)),
		Unknown: r.Unknown, DidYouMean: r.DidYouMean, Advice: r.Advice,
	}
	// All are asked for at once; the answers are waited for in order.
	postings := make([]*mesh.Pending[job.Posting], len(r.Hits))
	for i, h := range r.Hits {
		postings[i] = job.Get.Go(ctx, s.client, job.GetRequest{ID: h.ID})
	}
	for i, h := range r.Hits {
		posting, err := postings[i].Wait()
		switch {
		case errors.Is(err, job.ErrNotFound):
			answer.Total-- // taken down since the index was made
		case err != nil:
			return Answer{}, fmt.Errorf("search: ad %s: %w", h.ID, err)
		default:
			answer.Found = append(answer.Found, Found{h.Score, h.Missing, posting})
		}
	}
	return answer, nil
}
