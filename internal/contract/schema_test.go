package contract

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestSchema(t *testing.T) {
	t.Parallel()
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c, err := For(s.typ, Config{})
			require.NoError(t, err)
			again, err := For(s.typ, Config{})
			require.NoError(t, err)
			require.Equal(t, string(c.Schema()), string(again.Schema()), "the same type gives the same bytes")
			_, err = compileLibrary(c.Schema())
			require.NoError(t, err, "the library takes the schema")

			golden := filepath.Join("testdata", "schema", s.name+".json")
			var got bytes.Buffer
			require.NoError(t, json.Indent(&got, c.Schema(), "", "  "))
			got.WriteByte('\n')
			if *update {
				require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o750))
				require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
}
