package job_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/job"
	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

// start runs the service over the ads, and the user service over the users, if
// any.
func start(t *testing.T, ads []job.Ad, users []user.User) *mesh.Mesh {
	t.Helper()
	var errs mesh.Errors
	user.AddErrors(&errs)
	job.AddErrors(&errs)
	m, err := mesh.Start(t.Context(), mesh.Config{Client: mesh.ClientConfig{Errors: &errs}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Stop(context.WithoutCancel(t.Context()))) })
	if users != nil {
		store, err := user.NewStore(users)
		require.NoError(t, err)
		_, err = m.AddWorker(t.Context(), mesh.WorkerConfig{Errors: &errs}, user.NewService(store))
		require.NoError(t, err)
	}
	store, err := job.NewStore(ads)
	require.NoError(t, err)
	_, err = m.AddWorker(t.Context(), mesh.WorkerConfig{Errors: &errs}, job.NewService(store, m.Client()))
	require.NoError(t, err)
	return m
}

func TestGet(t *testing.T) {
	t.Parallel()
	naledi := user.User{ID: "user-0001", Name: "Naledi Petersen", Languages: []string{"English"}}
	known := job.Ad{ID: "job-0001", Title: "Baker", Recruiter: naledi.ID, Skills: []string{"sourdough"}}
	left := job.Ad{ID: "job-0002", Title: "Cook", Recruiter: "user-0099", Skills: []string{"grill"}}
	m := start(t, []job.Ad{known, left}, []user.User{naledi})

	got, err := job.Get.Call(t.Context(), m.Client(), job.GetRequest{ID: known.ID})
	require.NoError(t, err)
	require.Equal(t, job.Posting{Ad: known, Recruiter: &naledi}, got)

	got, err = job.Get.Call(t.Context(), m.Client(), job.GetRequest{ID: left.ID})
	require.NoError(t, err, "an ad outlives the account of its recruiter")
	require.Equal(t, job.Posting{Ad: left}, got)

	_, err = job.Get.Call(t.Context(), m.Client(), job.GetRequest{ID: "job-0003"})
	require.ErrorIs(t, err, job.ErrNotFound)
}

// What the user service can't answer, the job service can't either, and says so
// with the same error.
func TestGetPassesErrorsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := start(t, []job.Ad{{ID: "job-0001", Recruiter: "user-0001"}}, nil)
		_, err := job.Get.Call(t.Context(), m.Client(), job.GetRequest{ID: "job-0001"})
		require.ErrorIs(t, err, mesh.ErrNoService)
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	var ads []job.Ad
	for i := range 120 {
		ads = append(ads, job.Ad{ID: fmt.Sprintf("job-%04d", i), Skills: []string{}})
	}
	m := start(t, ads, nil)
	list := func(req job.ListRequest) job.Page {
		page, err := job.List.Call(t.Context(), m.Client(), req)
		require.NoError(t, err)
		return page
	}
	for _, limit := range []int{1, 7, 40, 60, 100} {
		var all []job.Ad
		for next := (job.ListRequest{Limit: limit}); ; {
			page := list(next)
			require.NotEmpty(t, page.Ads, "no page is empty")
			require.LessOrEqual(t, len(page.Ads), limit)
			all = append(all, page.Ads...)
			if page.Next == "" {
				break
			}
			next.After = page.Next
		}
		require.Equal(t, ads, all)
	}
	for _, limit := range []int{-1, 0, 101} {
		_, err := job.List.Call(t.Context(), m.Client(), job.ListRequest{Limit: limit})
		require.ErrorIs(t, err, mesh.ErrInvalidParams)
	}
}
