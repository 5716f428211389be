package user_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

func TestService(t *testing.T) {
	t.Parallel()
	store, err := user.NewStore([]user.User{{ID: "user-0001", Name: "Naledi Petersen"}})
	require.NoError(t, err)
	var errs mesh.Errors
	user.AddErrors(&errs)
	m, err := mesh.Start(t.Context(), mesh.Config{
		Worker: mesh.WorkerConfig{Errors: &errs},
		Client: mesh.ClientConfig{Errors: &errs},
	}, user.NewService(store))
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Stop(t.Context())) }()

	got, err := user.Get.Call(t.Context(), m.Client(), user.GetRequest{ID: "user-0001"})
	require.NoError(t, err)
	require.Equal(t, "Naledi Petersen", got.Name)

	_, err = user.Get.Call(t.Context(), m.Client(), user.GetRequest{ID: "user-0002"})
	require.ErrorIs(t, err, user.ErrNotFound)
	require.ErrorContains(t, err, `"user-0002"`)

	_, err = user.Get.Call(t.Context(), m.Client(), user.GetRequest{})
	require.ErrorIs(t, err, mesh.ErrInvalidParams)
}
