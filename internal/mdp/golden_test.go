package mdp_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// parsers holds the parse function of each receiver, under the name that it has
// in testdata.
var parsers = map[string]func([][]byte) (mdp.Command, error){
	"broker": mdp.ParseBroker,
	"worker": mdp.ParseWorker,
	"client": mdp.ParseClient,
}

// frame is a frame in the notation of testdata: hexadecimal behind 0x, and
// otherwise text.
type frame []byte

func (f *frame) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		var err error
		*f, err = hex.DecodeString(digits)
		return err
	}
	*f = frame(s)
	return nil
}

// frames converts to what package mdp works with; none become nil.
func frames(fs []frame) [][]byte {
	var out [][]byte
	for _, f := range fs {
		out = append(out, f)
	}
	return out
}

type goldenMessage struct {
	Name    string
	To      string
	Frames  []frame
	Command *goldenCommand
	Error   *mdp.ParseError
}

type goldenCommand struct {
	Version, Kind    string
	Service, Address frame
	Envelope, Body   []frame
}

func (g *goldenCommand) command(t testing.TB) mdp.Command {
	t.Helper()
	c := mdp.Command{
		Service:  g.Service,
		Address:  g.Address,
		Envelope: frames(g.Envelope),
		Body:     frames(g.Body),
	}
	for _, v := range []mdp.Version{mdp.V01, mdp.V02} {
		if v.String() == "MDP/"+g.Version {
			c.Version = v
		}
	}
	for k := mdp.ClientRequest; k <= mdp.Disconnect; k++ {
		if k.String() == g.Kind {
			c.Kind = k
		}
	}
	require.NotZero(t, c.Version, g.Version)
	require.NotZero(t, c.Kind, g.Kind)
	return c
}

// golden reads a list out of a file in testdata.
func golden[T any](t testing.TB, file string) []T {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", file))
	require.NoError(t, err)
	defer f.Close()
	var list []T
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&list))
	require.NotEmpty(t, list)
	return list
}

func TestGoldenMessages(t *testing.T) {
	t.Parallel()
	for _, g := range golden[goldenMessage](t, "frames.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			parse := parsers[g.To]
			require.NotNil(t, parse, g.To)
			msg := frames(g.Frames)
			got, err := parse(msg)

			if g.Error != nil {
				var parseErr *mdp.ParseError
				require.ErrorAs(t, err, &parseErr)
				require.Equal(t, g.Error, parseErr)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			want := g.Command.command(t)
			require.Equal(t, want, got)
			require.Equal(t, msg, want.AppendTo(nil))
			require.Equal(t, len(msg), want.Len())
		})
	}
}

// Every command of the tables in RFC 7 and RFC 18 has a golden message for each
// end that receives it.
func TestGoldenMessagesAreComplete(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, g := range golden[goldenMessage](t, "frames.json") {
		if g.Command != nil {
			seen[g.To+": "+g.Command.Version+" "+g.Command.Kind] = true
		}
	}
	for _, row := range grammar {
		require.Contains(t, seen, row.to+": "+strings.TrimPrefix(row.version.String(), "MDP/")+" "+row.kind.String())
	}
	require.Len(t, seen, len(grammar))
}
