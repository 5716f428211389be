package curvezmq_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/curvezmq"
	"github.com/mdpmesh/mesh/transport/curve"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hexBytes are bytes that JSON has in hexadecimal.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// goldenPeer is one end of the handshake in handshake.json.
type goldenPeer struct {
	Public   string   `json:"public"`
	Secret   string   `json:"secret"`
	Random   hexBytes `json:"random"`
	Metadata hexBytes `json:"metadata"`
}

type goldenMessage struct {
	From    string   `json:"from"`
	Flags   byte     `json:"flags"`
	Payload hexBytes `json:"payload"`
	Body    hexBytes `json:"body"`
}

type goldenHandshake struct {
	Client   goldenPeer      `json:"client"`
	Server   goldenPeer      `json:"server"`
	Hello    hexBytes        `json:"hello"`
	Welcome  hexBytes        `json:"welcome"`
	Initiate hexBytes        `json:"initiate"`
	Ready    hexBytes        `json:"ready"`
	Messages []goldenMessage `json:"messages"`
}

func (p *goldenPeer) keys(t *testing.T) pair {
	t.Helper()
	public, err := curve.ParseKey(p.Public)
	require.NoError(t, err)
	secret, err := curve.ParseSecretKey(p.Secret)
	require.NoError(t, err)
	return pair{Public: public, Secret: secret}
}

// play has the handshake of g's inputs and returns g with what was said.
func (g goldenHandshake) play(t *testing.T) goldenHandshake {
	t.Helper()
	own, peer := g.Client.keys(t), g.Server.keys(t)
	client, err := curvezmq.NewClient(peer.Public, own.Public, own.Secret, bytes.NewReader(g.Client.Random))
	require.NoError(t, err)
	server, err := curvezmq.NewServer(peer.Public, peer.Secret, bytes.NewReader(g.Server.Random))
	require.NoError(t, err)
	g.Hello, err = client.Hello()
	require.NoError(t, err)
	g.Welcome, err = server.Hello(g.Hello)
	require.NoError(t, err)
	g.Initiate, err = client.Welcome(g.Welcome, g.Client.Metadata)
	require.NoError(t, err)
	key, metadata, err := server.Initiate(g.Initiate)
	require.NoError(t, err)
	require.Equal(t, own.Public, key)
	require.Equal(t, []byte(g.Client.Metadata), metadata)
	serverSession, ready, err := server.Ready(g.Server.Metadata)
	require.NoError(t, err)
	g.Ready = ready
	clientSession, metadata, err := client.Ready(g.Ready)
	require.NoError(t, err)
	require.Equal(t, []byte(g.Server.Metadata), metadata)
	messages := g.Messages
	g.Messages = nil
	for _, m := range messages {
		from, to := clientSession, serverSession
		if m.From == "server" {
			from, to = to, from
		}
		m.Body, err = from.Seal(nil, m.Flags, m.Payload)
		require.NoError(t, err)
		flags, payload, err := to.Open(m.Body, nil)
		require.NoError(t, err)
		require.Equal(t, m.Flags, flags)
		require.Equal(t, string(m.Payload), string(payload))
		g.Messages = append(g.Messages, m)
	}
	return g
}

func TestGoldenHandshake(t *testing.T) {
	t.Parallel()
	file := filepath.Join("testdata", "handshake.json")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var want goldenHandshake
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&want))
	got := want.play(t)
	if *update {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false) // Z85 is easier to read so
		e.SetIndent("", "  ")
		require.NoError(t, e.Encode(got))
		require.NoError(t, os.WriteFile(file, text.Bytes(), 0o600))
		return
	}
	require.Equal(t, want, got)
}
