package leg

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// fate is a test that notes what becomes of it.
type fate struct{ skipped, failed []any }

func (f *fate) Helper()           {}
func (f *fate) Skip(args ...any)  { f.skipped = args }
func (f *fate) Fatal(args ...any) { f.failed = args }

func TestNeed(t *testing.T) {
	const lack = "no tea"
	for _, c := range []struct {
		required, lack string
		want           fate
	}{
		{"", lack, fate{skipped: []any{lack}}},
		{"coffee", lack, fate{skipped: []any{lack}}},
		{"teapot", lack, fate{skipped: []any{lack}}},
		{"tea", lack, fate{failed: []any{lack}}},
		{"coffee, tea", lack, fate{failed: []any{lack}}},
		{"tea,coffee", lack, fate{failed: []any{lack}}},
		{"tea", "", fate{}},
		{"", "", fate{}},
	} {
		t.Setenv("MESH_REQUIRE", c.required)
		var got fate
		Need(&got, "tea", c.lack)
		require.Equal(t, c.want, got, "%q", c.required)
	}
}
