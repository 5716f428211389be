//go:build linux

package netns

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/mdpmesh/mesh/internal/leg"
)

var (
	all  = flag.Bool("netns", false, "run every scenario, not the short one alone")
	rest = flag.Duration("rest", time.Minute, "how long the crowd is watched at rest")
)

// Variables of the environment by which this binary knows which part it plays.
const (
	roleVariable   = "MESH_NETNS_ROLE"   // a role, as JSON: a worker, a client
	insideVariable = "MESH_NETNS_INSIDE" // the tests, inside of the namespaces; the path of the command mesh
	lackVariable   = "MESH_NETNS_LACK"   // why there are no namespaces
)

// TestMain plays a role, or has the tests run within namespaces.
func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(roleVariable); ok {
		os.Exit(play(text)) //nolint:forbidigo // it is a process of its own
	}
	flag.Parse()
	if _, ok := os.LookupEnv(insideVariable); ok {
		if err := enter(); err != nil {
			_ = os.Setenv(lackVariable, "this test needs a mount of /proc for its namespaces: "+err.Error())
		}
		goleak.VerifyTestMain(m)
		return
	}
	code, lack := runInside()
	if lack != "" {
		_ = os.Setenv(lackVariable, lack)
		goleak.VerifyTestMain(m)
		return
	}
	os.Exit(code) //nolint:forbidigo // with what the tests within said
}

// need ends a test where the machine has no namespaces for it.
func need(t *testing.T) {
	t.Helper()
	leg.Need(t, "netns", os.Getenv(lackVariable))
}

// slow is need, for a scenario that isn't for every run of the tests.
func slow(t *testing.T) {
	t.Helper()
	need(t)
	if !*all && !leg.Required("netns") {
		t.Skip("a slow scenario: it runs with the flag -netns")
	}
}

// missing says what the machine lacks, or nothing.
func missing() string {
	for _, program := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Sprintf("this test needs the program %s (Debian: apt-get install -y iproute2): %v", program, err)
		}
	}
	if err := unix.Access(tunDevice, unix.R_OK|unix.W_OK); err != nil {
		return fmt.Sprintf("this test needs %s: %v", tunDevice, err)
	}
	return ""
}

// runInside runs this binary again in namespaces of its own, and returns its exit
// code, or what is lacking for that. The process that runs there is the first of its
// process namespace: with its end, whatever ends it, all others end that it started,
// and with them their network.
func runInside() (code int, lack string) {
	if lack := missing(); lack != "" {
		return 0, lack
	}
	dir, err := os.MkdirTemp("", "mesh-netns-")
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the system's directory for such
	binary := filepath.Join(dir, "mesh")
	build := exec.Command("go", append(buildFlags, "-o", binary, "github.com/mdpmesh/mesh/cmd/mesh")...) //nolint:gosec // it ends by itself, and the words are the test's own
	if text, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Sprintf("the command mesh can't be built: %v\n%s", err, text)
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err.Error()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT) //nolint:forbidigo // they are passed on, so that this process can clean up
	defer signal.Stop(signals)                                             //nolint:forbidigo // see above
	runtime.LockOSThread()                                                 // Pdeathsig means the thread that made the process
	cmd := exec.Command(self, os.Args[1:]...)                              //nolint:gosec // this binary with its own arguments, ended by its own time limit
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if id := os.Geteuid(); id != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Sprintf("this test needs the right to make namespaces (run it as root): %v", err)
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	err = cmd.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return 1, ""
	}
	if code = cmd.ProcessState.ExitCode(); code < 0 { // by a signal
		code = 1
	}
	return code, ""
}

// enter completes the namespaces that this process was started in.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}
