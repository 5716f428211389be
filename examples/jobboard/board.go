package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/data"
	"github.com/mdpmesh/mesh/examples/jobboard/job"
	"github.com/mdpmesh/mesh/examples/jobboard/search"
	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

// start runs the three services in this process and returns when all of them can
// be called. The mesh that it returns is to be stopped.
func start(ctx context.Context, logger *slog.Logger) (*mesh.Mesh, error) {
	var errs mesh.Errors
	user.AddErrors(&errs)
	job.AddErrors(&errs)
	m, err := mesh.Start(ctx, mesh.Config{
		Logger: logger,
		Client: mesh.ClientConfig{Errors: &errs},
	})
	if err != nil {
		return nil, err
	}
	if err := serve(ctx, m, mesh.WorkerConfig{Logger: logger, Errors: &errs}); err != nil {
		return nil, errors.Join(err, m.Stop(ctx))
	}
	return m, nil
}

// serve adds the services, each with a worker of its own: a search that waits
// for ads never takes the place of the handler that would return them. They know
// of one another no more than their contracts, so nothing would change for them
// if these workers were three processes.
func serve(ctx context.Context, m *mesh.Mesh, cfg mesh.WorkerConfig) error {
	users, err := data.Users()
	if err != nil {
		return err
	}
	userStore, err := user.NewStore(users)
	if err != nil {
		return err
	}
	ads, err := data.Ads()
	if err != nil {
		return err
	}
	jobStore, err := job.NewStore(ads)
	if err != nil {
		return err
	}
	if _, err := m.AddWorker(ctx, cfg, user.NewService(userStore)); err != nil {
		return err
	}
	if _, err := m.AddWorker(ctx, cfg, job.NewService(jobStore, m.Client())); err != nil {
		return err
	}
	searching, err := search.Open(ctx, m.Client()) // calls the job service
	if err != nil {
		return err
	}
	_, err = m.AddWorker(ctx, cfg, searching)
	return err
}
