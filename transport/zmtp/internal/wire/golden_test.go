package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// limit is the largest body that frames.json allows.
const limit = 1 << 20

// octets are bytes in the notation of testdata: one string, or a list of them.
type octets []byte

func (o *octets) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) != nil {
		list = make([]string, 1)
		if err := json.Unmarshal(b, &list[0]); err != nil {
			return err
		}
	}
	*o = octets{}
	for _, s := range list {
		part := []byte(s)
		if digits, ok := strings.CutPrefix(s, "0x"); ok {
			var err error
			if part, err = hex.DecodeString(digits); err != nil {
				return err
			}
		}
		*o = append(*o, part...)
	}
	return nil
}

// verdict is what every object of testdata has.
type verdict struct {
	Name    string
	Bytes   octets
	Error   string
	More    bool
	Lenient bool
}

type goldenGreeting struct {
	verdict
	Greeting *struct {
		Version, Mechanism string
		AsServer           bool `json:"as_server"`
	}
}

type goldenFrame struct {
	verdict
	Frame *struct {
		Flags        []string
		Size, Header int
	}
}

type goldenCommand struct {
	verdict
	Command *struct {
		Name    string
		Data    octets
		Reason  *string
		TTLMS   *int64 `json:"ttl_ms"`
		Context octets
	}
}

type goldenMetadata struct {
	verdict
	Metadata *struct {
		SocketType string `json:"socket_type"`
		Identity   octets
		Resource   octets
		Others     [][2]octets
	}
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

func TestGoldenGreetings(t *testing.T) {
	t.Parallel()
	for _, g := range golden[goldenGreeting](t, "greetings.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			got, complete, err := wire.ParseGreeting(g.Bytes)
			if g.Greeting == nil {
				require.Zero(t, got)
				require.False(t, complete)
				requireError(t, "zmtp: greeting: ", g.Error, err)
				return
			}
			require.NoError(t, err)
			require.True(t, complete)
			require.Equal(t, "ZMTP "+g.Greeting.Version, got.Version.String())
			require.Equal(t, g.Greeting.Mechanism, string(got.Mechanism))
			require.Equal(t, g.Greeting.AsServer, got.AsServer)
			if !g.Lenient {
				require.Equal(t, []byte(g.Bytes), got.AppendTo(nil))
			}
			for n := range g.Bytes {
				_, complete, err := wire.ParseGreeting(g.Bytes[:n])
				require.NoError(t, err)
				require.False(t, complete, "%d bytes are not a greeting", n)
			}
		})
	}
}

func TestGoldenFrames(t *testing.T) {
	t.Parallel()
	for _, g := range golden[goldenFrame](t, "frames.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			got, n, err := wire.ParseHeader(g.Bytes, limit)
			if g.Frame == nil {
				require.Zero(t, got)
				require.Zero(t, n)
				requireError(t, "", g.Error, err)
				return
			}
			want := wire.Header{Size: g.Frame.Size}
			for _, flag := range g.Frame.Flags {
				want.Flags |= map[string]wire.Flags{"more": wire.More, "command": wire.Command}[flag]
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, g.Frame.Header, n)
			if !g.Lenient {
				require.Equal(t, []byte(g.Bytes[:n]), wire.AppendHeader(nil, got.Flags, got.Size))
				require.Equal(t, n, wire.HeaderSize(got.Size))
			}
		})
	}
}

func TestGoldenCommands(t *testing.T) {
	t.Parallel()
	for _, g := range golden[goldenCommand](t, "commands.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			name, data, err := wire.ParseCommand(g.Bytes)
			if err != nil {
				requireError(t, "", g.Error, err)
				return
			}
			var again []byte
			switch string(name) {
			case wire.Ping:
				var ttl time.Duration
				var context []byte
				if ttl, context, err = wire.ParsePing(data); err == nil {
					require.Equal(t, *g.Command.TTLMS, ttl.Milliseconds())
					require.Equal(t, []byte(g.Command.Context), context)
					again = wire.AppendPing(nil, ttl, context)
				}
			case wire.Pong:
				var context []byte
				if context, err = wire.ParsePong(data); err == nil {
					require.Equal(t, []byte(g.Command.Context), context)
					again = wire.AppendPong(nil, context)
				}
			case wire.Error:
				var reason string
				if reason, err = wire.ParseReason(data); err == nil {
					require.Equal(t, *g.Command.Reason, reason)
					again = wire.AppendError(nil, reason)
				}
			default:
				require.Equal(t, []byte(g.Command.Data), data)
				again = append(wire.AppendCommand(nil, string(name)), data...)
			}
			requireError(t, "", g.Error, err)
			if err == nil {
				require.Equal(t, g.Command.Name, string(name))
				require.Equal(t, []byte(g.Bytes), again)
			}
		})
	}
}

func TestGoldenMetadata(t *testing.T) {
	t.Parallel()
	for _, g := range golden[goldenMetadata](t, "metadata.json") {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseMetadata(g.Bytes)
			requireError(t, "", g.Error, err)
			if err != nil {
				require.Zero(t, got)
				return
			}
			require.Equal(t, g.Metadata.SocketType, string(got.SocketType))
			require.Equal(t, string(g.Metadata.Identity), string(got.Identity))
			require.Equal(t, []byte(g.Metadata.Resource), got.Resource)
			require.Len(t, got.Others, len(g.Metadata.Others))
			for i, want := range g.Metadata.Others {
				require.Equal(t, string(want[0]), string(got.Others[i].Name))
				require.Equal(t, string(want[1]), string(got.Others[i].Value))
			}
			if !g.Lenient {
				require.Equal(t, string(g.Bytes), string(got.AppendTo(nil)))
			}
		})
	}
}

// requireError checks an error against the text of testdata, which is empty if
// there is to be none.
func requireError(t *testing.T, prefix, want string, err error) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.EqualError(t, err, prefix+want)
}
