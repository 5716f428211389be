package mdp_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// checkParse holds one message against everything that a parse function promises
// for any message, and returns what it broke.
func checkParse(to string, msg [][]byte) error {
	before := slices.Clone(msg)
	c, err := parsers[to](msg)
	want := parseByGrammar(to, msg)
	broken := func(format string, args ...any) error {
		return fmt.Errorf("%s, %q: %s; got %+v, %w; want %+v", to, msg, fmt.Sprintf(format, args...), c, err, want)
	}

	if !slices.EqualFunc(msg, before, slices.Equal) {
		return broken("the message was changed")
	}
	if err != nil {
		parseErr, ok := errors.AsType[*mdp.ParseError](err)
		switch {
		case len(want) != 0:
			return broken("refused what the grammar takes")
		case !reflect.ValueOf(c).IsZero():
			return broken("a command besides the error")
		case !ok:
			return broken("error of type %T", err)
		case parseErr.Frame < -1 || parseErr.Frame > len(msg):
			return broken("there is no frame %d", parseErr.Frame)
		case parseErr.Reason == "" || len(parseErr.Reason) > 200 || strings.ContainsFunc(parseErr.Reason, unprintable):
			return broken("bad reason")
		}
		return nil
	}
	again := c.AppendTo(nil)
	switch {
	case len(want) != 1 || !reflect.DeepEqual(c, want[0]):
		return broken("not what the grammar says")
	case len(c.Body) != cap(c.Body) || len(c.Envelope) != cap(c.Envelope):
		return broken("appending to body or envelope would write to the message")
	case c.Len() != len(msg):
		return broken("Len is %d", c.Len())
	case !slices.EqualFunc(again, msg, slices.Equal):
		return broken("written as %q", again)
	}
	return nil
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

// words are frames that mean something somewhere in the protocol.
var words = [][]byte{
	{}, []byte("MDPC01"), []byte("MDPW01"), []byte("MDPC02"), []byte("MDPW02"),
	{1}, {2}, {3}, {4}, {5}, {6}, {7}, []byte("tea"),
}

func TestParseShortMessages(t *testing.T) {
	t.Parallel()
	for to := range parsers {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			var visit func(msg [][]byte)
			visit = func(msg [][]byte) {
				require.NoError(t, checkParse(to, msg))
				if len(msg) == 3 {
					return
				}
				for _, word := range words {
					visit(append(slices.Clip(msg), word))
				}
			}
			visit(nil)
		})
	}
}

// Golden messages at each of the ends, and with one frame removed, replaced or
// inserted.
func TestParseEditedMessages(t *testing.T) {
	t.Parallel()
	list := golden[goldenMessage](t, "frames.json")
	for to := range parsers {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			for _, g := range list {
				msg := frames(g.Frames)
				require.NoError(t, checkParse(to, msg))
				for i := range msg {
					require.NoError(t, checkParse(to, slices.Concat(msg[:i], msg[i+1:])))
				}
				for _, word := range words {
					for i := range msg {
						require.NoError(t, checkParse(to, slices.Concat(msg[:i], [][]byte{word}, msg[i+1:])))
						require.NoError(t, checkParse(to, slices.Insert(slices.Clip(msg), i, word)))
					}
					require.NoError(t, checkParse(to, append(slices.Clip(msg), word)))
				}
			}
		})
	}
}

func TestParseKeepsLargeFrames(t *testing.T) {
	t.Parallel()
	body := make([]byte, 1<<20)
	msg := [][]byte{[]byte("MDPC02"), {1}, []byte("tea"), body}
	c, err := mdp.ParseBroker(msg)
	require.NoError(t, err)
	require.Same(t, &body[0], &c.Body[0][0])
}

func TestParseManyFrames(t *testing.T) {
	t.Parallel()
	for to := range parsers {
		for _, first := range words {
			msg := slices.Repeat([][]byte{{'x'}}, 10_000)
			msg[0] = first
			require.NoError(t, checkParse(to, msg))
		}
	}
}

// The client address is for the broker alone to judge, so a parser takes any but
// an empty one.
func TestParseTakesAnyAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"\x00", "undefined", "MDPW02", strings.Repeat("a", 300)} {
		c, err := mdp.ParseBroker([][]byte{[]byte("MDPW02"), {4}, []byte(address), {}, {}})
		require.NoError(t, err)
		require.Equal(t, address, string(c.Address))
	}
}

func TestParseErrorText(t *testing.T) {
	t.Parallel()
	_, err := mdp.ParseBroker(nil)
	require.EqualError(t, err, "mdp: message: no frames")
	_, err = mdp.ParseBroker([][]byte{[]byte("MDPW02"), {9}})
	require.EqualError(t, err, "mdp: frame 1: unknown command 0x09")
}

// What stands in a frame may be a secret, and errors are logged.
func TestParseErrorHoldsNoPayload(t *testing.T) {
	t.Parallel()
	secret := []byte("hunter2-hunter2")
	for to, parse := range parsers {
		for i := range 8 {
			for _, word := range words {
				msg := slices.Repeat([][]byte{word}, 8)
				msg[i] = secret
				if _, err := parse(msg); err != nil {
					require.NotContains(t, err.Error(), "hunter", "%s, %q", to, msg)
				}
			}
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	dst := make([][]byte, 0, 32)
	for _, g := range golden[goldenMessage](t, "frames.json") {
		if g.Command == nil {
			continue
		}
		parse, msg := parsers[g.To], frames(g.Frames)
		require.Zero(t, testing.AllocsPerRun(10, func() {
			c, err := parse(msg)
			if err != nil || len(c.AppendTo(dst)) != len(msg) {
				panic("not parsed")
			}
		}), g.Name)
	}
}
