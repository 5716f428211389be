package user_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/examples/jobboard/user"
)

func TestStore(t *testing.T) {
	t.Parallel()
	naledi := user.User{ID: "user-0001", Name: "Naledi Petersen"}
	s, err := user.NewStore([]user.User{naledi, {ID: "user-0002", Name: "Liam Moraka"}})
	require.NoError(t, err)

	got, ok := s.Get("user-0001")
	require.True(t, ok)
	require.Equal(t, naledi, got)

	_, ok = s.Get("user-0003")
	require.False(t, ok)
}

func TestNewStoreRefuses(t *testing.T) {
	t.Parallel()
	_, err := user.NewStore([]user.User{{ID: "user-0001"}, {ID: "user-0001"}})
	require.EqualError(t, err, `user: two users with the id "user-0001"`)

	_, err = user.NewStore([]user.User{{Name: "Liam Moraka"}})
	require.EqualError(t, err, `user: "Liam Moraka" has no id`)
}
