package interop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGolden has Python and JavaScript read and write the golden messages.
func TestGolden(t *testing.T) {
	t.Parallel()
	t.Run("python", func(t *testing.T) {
		t.Parallel()
		need(t, pythonMissing)
		p := startPython(t, "golden.py", golden)
		p.ends()
		require.Equal(t, []string{"ok"}, p.output)
	})
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		need(t, nodeMissing)
		p := startNode(t, "golden.js", golden)
		p.ends()
		require.Equal(t, []string{"ok"}, p.output)
	})
}
