package keyring

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails where a test left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
