package majordomo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

var protocolDocUpdate = flag.Bool("update-doc", false, "write the transcripts in docs/protocol.md anew")

const (
	protocolDocRoot = "../.."
	protocolDocPath = protocolDocRoot + "/docs/protocol.md"
)

// protocolDocScript plays a session against a broker, and writes down every
// message of it as docs/protocol.md shows them.
type protocolDocScript struct {
	t       *testing.T
	broker  *Broker
	now     time.Time
	address string // of the request that was handed over last
	text    strings.Builder
}

// protocolDocPeer returns a connection that goes by that name in a transcript.
func protocolDocPeer(name string) *Peer { return NewPeer(Identity{}, name) }

// says has p send a message.
func (s *protocolDocScript) says(p *Peer, frames ...string) {
	message := make([][]byte, len(frames))
	for i, f := range frames {
		message[i] = []byte(f)
	}
	s.write(p.Data.(string)+" → broker", message)
	var ev Event
	ev.Received(p, message, false)
	require.NoError(s.t, ev.Err)
	s.carryOut(s.broker.Step(s.now, &ev))
}

// pass lets time pass.
func (s *protocolDocScript) pass(d time.Duration) {
	fmt.Fprintf(&s.text, "(%v later)\n", d)
	end := s.now.Add(d)
	for {
		at := s.broker.NextWake()
		if at.IsZero() || at.After(end) {
			break
		}
		if at.After(s.now) {
			s.now = at
		}
		s.carryOut(s.broker.Step(s.now, &Event{Kind: Wake}))
	}
	s.now = end
}

// ends is the end of p's connection.
func (s *protocolDocScript) ends(p *Peer) {
	fmt.Fprintf(&s.text, "(the connection of the %s ends)\n", p.Data)
	s.carryOut(s.broker.Step(s.now, &Event{Kind: Gone, Peer: p}))
}

func (s *protocolDocScript) carryOut(actions []Action) {
	for i := range actions {
		a := &actions[i]
		require.Equal(s.t, Send, a.Kind, "%s %v", a.Text, a.Err)
		if c, err := mdp.ParseWorker(a.Message); err == nil && c.Kind == mdp.WorkerRequest {
			s.address = string(c.Address)
		}
		s.write("broker → "+a.Peer.Data.(string), a.Message)
	}
}

func (s *protocolDocScript) write(who string, message [][]byte) {
	fmt.Fprintln(&s.text, who)
	for _, frame := range message {
		fmt.Fprintln(&s.text, "    "+protocolDocFrame(frame))
	}
}

// protocolDocFrame writes a frame as the golden messages of package mdp do.
func protocolDocFrame(frame []byte) string {
	if len(frame) == 0 {
		return `""`
	}
	for _, c := range frame {
		if c < ' ' || c > '~' {
			return "0x" + hex.EncodeToString(frame)
		}
	}
	return string(frame)
}

// The transcripts of docs/protocol.md, by the names that stand before them.
var protocolDocTranscripts = map[string]func(s *protocolDocScript){
	"plain": func(s *protocolDocScript) {
		worker, client := protocolDocPeer("worker"), protocolDocPeer("client")
		s.says(worker, "", "MDPW01", "\x01", "tea")
		s.says(client, "", "MDPC01", "tea", "black, no sugar")
		s.says(worker, "", "MDPW01", "\x03", s.address, "", "a cup of black tea")
		s.pass(2500 * time.Millisecond)
		s.says(worker, "", "MDPW01", "\x04")
		s.says(worker, "", "MDPW01", "\x05")
	},
	"registered": func(s *protocolDocScript) {
		worker, client := protocolDocPeer("worker"), protocolDocPeer("client")
		registration := func(id, capacity int) string {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"mmi.register","params":{"instance":"kitchen-1","capacity":%d,`+
				`"cancel":true,"credit":true,"services":[{"name":"tea","methods":[{"name":"brew","idempotent":true}]}]}}`, id, capacity)
		}
		s.says(worker, "MDPC02", "\x01", "mmi.register", registration(1, 8))
		s.says(worker, "MDPW02", "\x01", "tea")
		s.says(client, "MDPC02", "\x01", "mmi.ping", `{"jsonrpc":"2.0","id":1,"method":"mmi.ping"}`)
		s.says(client, "MDPC02", "\x01", "tea",
			`{"jsonrpc":"2.0","id":2,"method":"tea.brew","meta":{"timeout_ms":5000},"params":{"kind":"black"}}`)
		s.says(worker, "MDPW02", "\x04", s.address, "", `{"jsonrpc":"2.0","id":2,"result":{"cups":1}}`)
		s.says(worker, "MDPC02", "\x01", "mmi.register", registration(2, 0))
		s.says(worker, "MDPW02", "\x06")
	},
	"stream": func(s *protocolDocScript) {
		worker, client := protocolDocPeer("worker"), protocolDocPeer("client")
		part := func(n int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"result":{"cup":%d}}`, n) }
		s.register(worker, `{"name":"pour","stream":true}`)
		s.says(client, "MDPC02", "\x01", "tea", `{"jsonrpc":"2.0","id":7,"method":"tea.pour","meta":{"window":2},"params":{"cups":3}}`)
		s.says(worker, "MDPW02", "\x03", s.address, "", part(1))
		s.says(worker, "MDPW02", "\x03", s.address, "", part(2))
		s.says(client, "MDPC02", "\x01", "mmi.credit", `{"jsonrpc":"2.0","method":"mmi.credit","params":{"id":7,"n":1}}`)
		s.says(worker, "MDPW02", "\x03", s.address, "", part(3))
		s.says(worker, "MDPW02", "\x04", s.address, "", `{"jsonrpc":"2.0","id":7,"result":null}`)
	},
	"cancel": func(s *protocolDocScript) {
		worker, client := protocolDocPeer("worker"), protocolDocPeer("client")
		s.register(worker, `{"name":"brew"}`)
		s.says(client, "MDPC02", "\x01", "tea", `{"jsonrpc":"2.0","id":8,"method":"tea.brew"}`)
		s.says(client, "MDPC02", "\x01", "mmi.cancel", `{"jsonrpc":"2.0","id":9,"method":"mmi.cancel","params":{"id":8}}`)
		s.says(worker, "MDPW02", "\x04", s.address, "", `{"jsonrpc":"2.0","id":8,"error":{"code":-32005,"message":"stopped brewing"}}`)
	},
	"keyed": func(s *protocolDocScript) {
		worker, client, again := protocolDocPeer("worker"), protocolDocPeer("client"), protocolDocPeer("client's second connection")
		order := func(id, attempt int, kind string) string {
			return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tea.order","meta":{"key":"order-4711","attempt":%d},"params":{"kind":%q}}`, id, attempt, kind)
		}
		s.register(worker, `{"name":"order"}`)
		s.says(client, "MDPC02", "\x01", "tea", order(1, 1, "black"))
		s.ends(client)
		s.says(again, "MDPC02", "\x01", "tea", order(50, 2, "black"))
		s.says(worker, "MDPW02", "\x04", s.address, "", `{"jsonrpc":"2.0","id":1,"result":{"number":12}}`)
		s.says(again, "MDPC02", "\x01", "tea", order(51, 3, "black"))
		s.says(again, "MDPC02", "\x01", "tea", order(52, 1, "green"))
	},
}

// register makes w a worker of the service tea with one method, off the record.
func (s *protocolDocScript) register(w *Peer, method string) {
	s.says(w, "MDPC02", "\x01", "mmi.register", `{"jsonrpc":"2.0","id":1,"method":"mmi.register","params":`+
		`{"instance":"kitchen-1","capacity":8,"cancel":true,"credit":true,"services":[{"name":"tea","methods":[`+method+`]}]}}`)
	s.says(w, "MDPW02", "\x01", "tea")
	s.text.Reset()
}

// TestProtocolDocTranscripts plays the sessions that docs/protocol.md shows. It
// isn't parallel to the tests that read the file, as it may write it.
func TestProtocolDocTranscripts(t *testing.T) {
	doc := protocolDocRead(t)
	for name, play := range protocolDocTranscripts {
		start := time.Unix(0, 0)
		b, err := NewBroker(Config{ID: "b1", Incarnation: "5f0c", Version: "0.1.0"}, start)
		require.NoError(t, err)
		s := &protocolDocScript{t: t, broker: b, now: start.Add(time.Minute)}
		b.Step(s.now, &Event{Kind: Wake})
		play(s)
		from, to := protocolDocBlock(t, doc, "transcript: "+name)
		if *protocolDocUpdate {
			doc = doc[:from] + s.text.String() + doc[to:]
			continue
		}
		require.Equal(t, s.text.String(), doc[from:to], "transcript %s; -update-doc writes it anew", name)
	}
	require.Equal(t, len(protocolDocTranscripts), strings.Count(doc, "<!-- transcript: "), "a transcript that nobody plays")
	if *protocolDocUpdate {
		require.NoError(t, os.WriteFile(protocolDocPath, []byte(doc), 0o644)) //nolint:gosec // the file is public
	}
}

// TestProtocolDocExamples holds the examples of docs/protocol.md to the types
// that are sent: they have every member that those have, and no other.
func TestProtocolDocExamples(t *testing.T) {
	t.Parallel()
	doc := protocolDocRead(t)
	for name, v := range map[string]any{
		"mmi.ping":      &Pong{},
		"presence":      &Presence{},
		"registration":  &Registration{},
		"registered":    &Registered{},
		"mmi.services":  &[]ServiceContract{},
		"mmi.status":    &Snapshot{},
		"mmi.cancel":    &struct{ ID json.RawMessage }{},
		"mmi.credit":    &struct{ ID, N json.RawMessage }{},
		"mmi.release":   &struct{ Request uint64 }{},
		"operate":       &struct{ Service string }{},
		"operateWorker": &struct{ Worker string }{},
	} {
		from, to := protocolDocBlock(t, doc, "example: "+name)
		example := doc[from:to]
		d := json.NewDecoder(strings.NewReader(example))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(v), name)
		for _, member := range protocolDocMembers(reflect.TypeOf(v)) {
			require.Contains(t, example, `"`+member+`"`, "example %s lacks a member", name)
		}
	}
}

// protocolDocMembers returns the names of all members that are written of t.
func protocolDocMembers(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return protocolDocMembers(t.Elem())
	case reflect.Struct:
		var all []string
		for f := range t.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				all = append(all, name)
			}
			all = append(all, protocolDocMembers(f.Type)...)
		}
		return all
	}
	return nil
}

func TestProtocolDocAddress(t *testing.T) {
	t.Parallel()
	doc := protocolDocRead(t)
	from, to := protocolDocBlock(t, doc, "example: address")
	first, _, _ := strings.Cut(doc[from:to], "\n")
	frame, err := hex.DecodeString(first)
	require.NoError(t, err)
	a, err := mdp.ParseAddress(frame)
	require.NoError(t, err)
	require.Equal(t, mdp.Address{Token: 0x0000000300000007, Remaining: 5000, Attempt: 2, Service: 1, Caller: []byte("till")}, a)
	require.Contains(t, doc, "`"+string(mdp.AppendToken(nil, a.Token))+"`", "the same token for a plain worker")
}

// TestProtocolDocErrors holds the table of errors to the codes that there are.
func TestProtocolDocErrors(t *testing.T) {
	t.Parallel()
	doc := protocolDocRead(t)
	codes := 0
	for code := -32768; code <= -32000; code++ {
		if name := jsonrpc.CodeName(code); name != "" {
			codes++
			require.Contains(t, doc, fmt.Sprintf("\n| `%d` | %s |", code, name))
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `-32[0-9]{3}` \\|").FindAllString(doc, -1)
	require.Len(t, rows, codes+1, "one row more for -32050, which is a worker's")
}

// TestProtocolDocSections finds the sections of docs/protocol.md that comments in
// the code refer to.
func TestProtocolDocSections(t *testing.T) {
	t.Parallel()
	doc := protocolDocRead(t)
	mention := regexp.MustCompile(`docs/protocol\.md\s+"([^"]+)"`)
	comment := regexp.MustCompile(`\n\s*//\s*`)
	found := 0
	err := filepath.WalkDir(protocolDocRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		source, err := os.ReadFile(path) //nolint:gosec // of this module
		if err != nil {
			return err
		}
		source = comment.ReplaceAll(source, []byte(" "))
		for _, m := range mention.FindAllSubmatch(source, -1) {
			found++
			heading := regexp.MustCompile(`(?m)^##+ ` + regexp.QuoteMeta(string(m[1])) + `$`)
			require.Regexp(t, heading, doc, "%s refers to a section that isn't there", path)
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, found, 10)
}

func protocolDocRead(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile(protocolDocPath)
	require.NoError(t, err)
	return string(bytes.ReplaceAll(doc, []byte("\r\n"), []byte("\n")))
}

// protocolDocBlock returns where the fenced block that follows a marker begins and
// ends.
func protocolDocBlock(t *testing.T, doc, marker string) (from, to int) {
	t.Helper()
	marker = "<!-- " + marker + " -->\n```"
	at := strings.Index(doc, marker)
	require.GreaterOrEqual(t, at, 0, "no %q", marker)
	from = at + len(marker)
	from += strings.IndexByte(doc[from:], '\n') + 1
	length := strings.Index(doc[from:], "```\n")
	require.GreaterOrEqual(t, length, 0, "no end of the block of %q", marker)
	return from, from + length
}
