package mdp_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

func FuzzParseBroker(f *testing.F) { fuzzParse(f, "broker") }

func FuzzParseWorker(f *testing.F) { fuzzParse(f, "worker") }

func FuzzParseClient(f *testing.F) { fuzzParse(f, "client") }

func fuzzParse(f *testing.F, to string) {
	for _, g := range golden[goldenMessage](f, "frames.json") {
		f.Add(join(frames(g.Frames)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, checkParse(to, split(data)))
	})
}

// join writes a message as the bytes that a fuzzer works on: each frame behind
// its length in one byte.
func join(msg [][]byte) []byte {
	var data []byte
	for _, frame := range msg {
		data = append(data, byte(len(frame)))
		data = append(data, frame...)
	}
	return data
}

// split undoes join, and makes a message of any other bytes, too.
func split(data []byte) [][]byte {
	var msg [][]byte
	for len(data) > 0 {
		end := min(1+int(data[0]), len(data))
		msg = append(msg, data[1:end])
		data = data[end:]
	}
	return msg
}

func FuzzAddress(f *testing.F) {
	for _, g := range golden[goldenAddress](f, "addresses.json") {
		f.Add([]byte(g.Frame))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		address, addressErr := mdp.ParseAddress(data)
		plain, plainErr := mdp.ParseToken(data)
		either, eitherErr := mdp.AddressToken(data)
		require.Equal(t, before, data)
		switch {
		case addressErr == nil:
			require.Equal(t, data, address.AppendTo(nil))
			require.Error(t, plainErr)
			require.NoError(t, eitherErr)
			require.Equal(t, address.Token, either)
		case plainErr == nil:
			require.Equal(t, data, mdp.AppendToken(nil, plain))
			require.NoError(t, eitherErr)
			require.Equal(t, plain, either)
		default:
			require.Error(t, eitherErr)
			require.False(t, len(data) >= 16 && data[0] == 1)
		}
	})
}

func FuzzCheckService(f *testing.F) {
	for _, g := range golden[goldenService](f, "services.json") {
		f.Add([]byte(g.Service))
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
		good := len(name) >= 1 && len(name) <= 255 && utf8.Valid(name) && bytes.IndexFunc(name, unprintable) < 0
		err := mdp.CheckService(name)
		require.Equal(t, good, err == nil, "%q: %v", name, err)
		require.Equal(t, strings.HasPrefix(string(name), "mmi."), mdp.Reserved(name))
	})
}
