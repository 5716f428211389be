package zmtp

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is encrypted later is kept until then.
func TestCopiesBelow(t *testing.T) {
	require.Equal(t, copyBelow, (&link{}).CopiesBelow())
	require.Zero(t, (&link{secrecy: &secrecy{}}).CopiesBelow())
}
