package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/mdpmesh/mesh/internal/leg"
)

// TestMain fails where a test left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// python is Debian's, since that is where the package python3-zmq goes.
const python = "/usr/bin/python3"

// Directories, as the processes see them.
var (
	pythonExamples = absolute("../../examples/python")
	nodeExamples   = absolute("../../examples/node")
	golden         = absolute("../mdp/testdata")
)

func absolute(name string) string {
	dir, err := filepath.Abs(name)
	if err != nil {
		panic(err)
	}
	return dir
}

// pythonMissing and nodeMissing say what a machine lacks, or nothing.
var (
	pythonMissing = sync.OnceValue(func() string {
		return missing("python with pyzmq (Debian: apt-get install -y python3-zmq)", python, "-c", "import zmq.asyncio")
	})
	nodeMissing = sync.OnceValue(func() string {
		return missing("Node 20 with the package zeromq (npm ci --prefix examples/node)", "node", "-e", "require('zeromq')")
	})
)

func missing(what, name string, args ...string) string {
	cmd := exec.Command(name, args...) //nolint:gosec // it ends by itself, several tests wait for it, and both are the test's own words
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("this test needs %s: %v\n%s", what, err, out)
	}
	return ""
}

// need ends a test where one of the things that it needs is missing; see package leg.
func need(t *testing.T, things ...func() string) {
	t.Helper()
	for _, thing := range things {
		leg.Need(t, "interop", thing())
	}
}

// environment is that of every process: they find the examples, and leave nothing
// behind in the source tree.
func environment() []string {
	return append(os.Environ(), "PYTHONPATH="+pythonExamples, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
		"EXAMPLES="+nodeExamples, "NODE_PATH="+filepath.Join(nodeExamples, "node_modules"))
}
