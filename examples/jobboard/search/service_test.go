package search_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/job"
	"github.com/mdpmesh/mesh/examples/jobboard/search"
	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

// board is the job and user services in a mesh of their own.
type board struct {
	*mesh.Mesh

	errs mesh.Errors
}

func start(t *testing.T) *board {
	t.Helper()
	b := &board{}
	user.AddErrors(&b.errs)
	job.AddErrors(&b.errs)
	var err error
	b.Mesh, err = mesh.Start(t.Context(), mesh.Config{Client: mesh.ClientConfig{Errors: &b.errs}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Stop(context.WithoutCancel(t.Context()))) })
	users, err := user.NewStore([]user.User{{ID: "user-0001", Name: "Naledi Petersen", Languages: []string{"English"}}})
	require.NoError(t, err)
	b.serve(t, user.NewService(users))
	return b
}

func (b *board) serve(t *testing.T, s *mesh.Service) *mesh.Worker {
	t.Helper()
	w, err := b.AddWorker(t.Context(), mesh.WorkerConfig{Errors: &b.errs}, s)
	require.NoError(t, err)
	return w
}

func (b *board) serveAds(t *testing.T, ads ...job.Ad) *mesh.Worker {
	t.Helper()
	store, err := job.NewStore(ads)
	require.NoError(t, err)
	return b.serve(t, job.NewService(store, b.Client()))
}

func (b *board) openSearch(t *testing.T) {
	t.Helper()
	s, err := search.Open(t.Context(), b.Client())
	require.NoError(t, err)
	b.serve(t, s)
}

func (b *board) query(t *testing.T, req search.QueryRequest) search.Answer {
	t.Helper()
	answer, err := search.Query.Call(t.Context(), b.Client(), req)
	require.NoError(t, err)
	return answer
}

func ad(id, title, city string) job.Ad {
	return job.Ad{ID: id, Title: title, Location: job.Location{City: city}, Recruiter: "user-0001", Skills: []string{}}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.serveAds(t, ad("1", "Baker", "Cape Town"), ad("2", "Baker", "Durban"), ad("3", "Cook", "Durban"))
	b.openSearch(t)

	answer := b.query(t, search.QueryRequest{Q: "bakers in durban", Limit: 10})
	require.Equal(t, 3, answer.Total)
	require.Len(t, answer.Found, 3)
	best := answer.Found[0]
	require.Equal(t, ad("2", "Baker", "Durban"), best.Posting.Ad, "the ad is the job service's")
	require.Equal(t, "Naledi Petersen", best.Posting.Recruiter.Name, "the recruiter is the user service's")
	require.Empty(t, best.Missing)
	require.Greater(t, best.Score, answer.Found[1].Score)
	require.Equal(t, []string{"durban"}, answer.Found[1].Missing)

	answer = b.query(t, search.QueryRequest{Q: "baker", Limit: 1})
	require.Equal(t, 2, answer.Total)
	require.Len(t, answer.Found, 1)

	answer = b.query(t, search.QueryRequest{Q: "bakr", Limit: 10})
	require.Empty(t, answer.Found)
	require.Equal(t, []search.Unknown{{Word: "bakr", Suggestions: []string{"baker"}}}, answer.Unknown)
	require.Equal(t, "baker", answer.DidYouMean)
	require.NotEmpty(t, answer.Advice)
}

// The index is made once; the ads come from the job service when they are found.
func TestAdTakenDown(t *testing.T) {
	t.Parallel()
	b := start(t)
	before := b.serveAds(t, ad("1", "Baker", "Durban"), ad("2", "Baker", "Durban"))
	b.openSearch(t)
	require.NoError(t, before.Shutdown(t.Context()))
	b.serveAds(t, ad("2", "Head Baker", "Durban"))

	answer := b.query(t, search.QueryRequest{Q: "baker", Limit: 10})
	require.Equal(t, 1, answer.Total)
	require.Len(t, answer.Found, 1)
	require.Equal(t, "Head Baker", answer.Found[0].Posting.Ad.Title)
}

func TestOpenReadsAllPages(t *testing.T) {
	t.Parallel()
	b := start(t)
	var ads []job.Ad
	for i := range 250 {
		ads = append(ads, ad(fmt.Sprintf("%03d", i), "Baker", "Durban"))
	}
	b.serveAds(t, ads...)
	b.openSearch(t)
	require.Equal(t, len(ads), b.query(t, search.QueryRequest{Q: "baker", Limit: 1}).Total)
}

func TestOpenFailsWithoutAds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		_, err := search.Open(t.Context(), b.Client())
		require.ErrorIs(t, err, mesh.ErrNoService)
		require.ErrorContains(t, err, "search: reading the ads: ")
	})
}
