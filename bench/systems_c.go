package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed cforwarder/forwarder.c
var forwarderSource []byte

func forwarderProgram(dir string) string { return filepath.Join(dir, "forwarder") }

// compileForwarder compiles the program in C, where there are a compiler and
// libzmq.
func compileForwarder(ctx context.Context, dir string) error {
	source := forwarderProgram(dir) + ".c"
	if err := os.WriteFile(source, forwarderSource, 0o600); err != nil {
		return err
	}
	compiler := exec.CommandContext(ctx, "cc", "-O2", "-o", forwarderProgram(dir), source, "-lzmq") //nolint:gosec // both are ours
	if said, err := compiler.CombinedOutput(); err != nil {
		first, _, _ := bytes.Cut(bytes.TrimSpace(said), []byte("\n"))
		return fmt.Errorf("%w: no C compiler or no libzmq (%w) %s", errNotAvailable, err, first)
	}
	return nil
}
