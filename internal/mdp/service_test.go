package mdp_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

type goldenService struct {
	Name            string
	Service         frame
	Valid, Reserved bool
	Reason          string
}

func TestGoldenServices(t *testing.T) {
	t.Parallel()
	for _, g := range golden[goldenService](t, "services.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, g.Reserved, mdp.Reserved(g.Service))
			err := mdp.CheckService(g.Service)
			if g.Valid {
				require.NoError(t, err)
				require.Empty(t, g.Reason)
				return
			}
			require.EqualError(t, err, "mdp: service name: "+g.Reason)
		})
	}
}

func TestCheckServiceDoesNotAllocate(t *testing.T) {
	for _, name := range []string{"tea", "thé vert ☕", strings.Repeat("t", mdp.MaxService)} {
		service := []byte(name)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if mdp.CheckService(service) != nil || mdp.Reserved(service) {
				panic("refused")
			}
		}), name)
	}
}
