package mdp_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

func TestMMINames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		mdp.MMIService, mdp.MMIServices, mdp.MMIStatus, mdp.MMIPing, mdp.MMIRegister, mdp.MMICancel, mdp.MMICredit,
		mdp.MMIPause, mdp.MMIResume, mdp.MMIDrain, mdp.MMIDisconnect, mdp.MMIRelease, mdp.MMIDrop,
	} {
		require.NoError(t, mdp.CheckService([]byte(name)))
		require.True(t, mdp.Reserved([]byte(name)), name)
	}
}

func TestStatusBody(t *testing.T) {
	t.Parallel()
	for code := range 1000 {
		body := mdp.StatusBody(code)
		require.Equal(t, fmt.Sprintf("%03d", code), string(body))
		require.Len(t, body, cap(body))
		got, ok := mdp.ParseStatus(body)
		require.True(t, ok)
		require.Equal(t, code, got)
	}
	require.PanicsWithValue(t, "mdp: status code -1 doesn't have three digits", func() { mdp.StatusBody(-1) })
	require.PanicsWithValue(t, "mdp: status code 1000 doesn't have three digits", func() { mdp.StatusBody(1000) })
}

func TestParseStatusRefuses(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "2", "20", "2000", "200 OK", " 200", "20x", "+20", "-20", "2.0", "٢٠٠", "200\x00", `{"id":1}`} {
		code, ok := mdp.ParseStatus([]byte(body))
		require.False(t, ok, "%q", body)
		require.Zero(t, code, "%q", body)
	}
}

func TestStatusDoesNotAllocate(t *testing.T) {
	for _, code := range []int{
		mdp.StatusOK, mdp.StatusBadRequest, mdp.StatusForbidden, mdp.StatusNotFound, mdp.StatusInternal, mdp.StatusNotImplemented,
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if got, ok := mdp.ParseStatus(mdp.StatusBody(code)); !ok || got != code {
				panic("not parsed")
			}
		}))
	}
}
