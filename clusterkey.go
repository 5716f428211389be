package mesh

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/mdpmesh/mesh/internal/beacon"
)

// ReadClusterKeys reads a file of cluster keys for [BeaconConfig]: one a line, in
// hexadecimal, of at least 32 bytes, the one that signs first. Empty lines and those that
// begin with # mean nothing. "mesh keygen --cluster" makes such a file. One that others
// than its owner may read is refused. Errors show nothing of a key.
func ReadClusterKeys(path string) ([][]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s has a secret key and others may read it (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the caller chose the file
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil || len(key) < beacon.MinKey { // the error would show a part of the key
			return nil, fmt.Errorf("%s:%d: no cluster key: want %d or more hexadecimal digits", path, n, 2*beacon.MinKey)
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no cluster key", path)
	}
	return keys, nil
}
