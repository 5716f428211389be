package majordomo

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
)

var brokerUpdate = flag.Bool("update", false, "write what the broker does into the scenario scripts")

// TestBrokerScripts runs the scenarios of testdata/broker, which its README.md
// explains.
func TestBrokerScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/broker/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(file)
			require.NoError(t, err)
			got := runBrokerScript(t, string(script))
			// The order of what is done depends on nothing but the input.
			require.Equal(t, got, runBrokerScript(t, string(script)), "the second run differs")
			if *brokerUpdate {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
				return
			}
			require.Equal(t, string(script), got)
		})
	}
}

// runBrokerScript returns the script with the expectations that hold.
func runBrokerScript(t *testing.T, script string) string {
	t.Helper()
	s := &brokerScript{t: t}
	var out strings.Builder
	var commands []string
	expecting := false
	for n, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		switch {
		case expecting:
			expecting = line != ""
			if !expecting {
				out.WriteString("\n")
			}
		case line == "----":
			out.WriteString("----\n")
			s.out = &out
			for _, c := range commands {
				if err := s.run(c); err != nil {
					t.Fatalf("line %d: %q: %v", n, c, err)
				}
			}
			commands, expecting = nil, true
		default:
			if line != "" && !strings.HasPrefix(line, "#") {
				commands = append(commands, line)
			}
			out.WriteString(line + "\n")
		}
	}
	require.Empty(t, commands, "a block without ----")
	s.finish()
	return out.String()
}

// brokerScript is the state of one run of a script.
type brokerScript struct {
	t         *testing.T
	b         *Broker
	now       time.Time
	told      time.Time // the time last printed
	out       *strings.Builder
	peers     map[string]*Peer
	names     []string
	labels    map[string]string // peer and address frame to label
	addresses map[string]string // label to address frame
}

var brokerScriptStart = time.Unix(1_000_000, 0)

func (s *brokerScript) printf(format string, args ...any) {
	if !s.now.Equal(s.told) {
		s.told = s.now
		fmt.Fprintf(s.out, "at %v\n", s.now.Sub(brokerScriptStart))
	}
	fmt.Fprintf(s.out, format+"\n", args...)
}

// run carries out one command of a script.
func (s *brokerScript) run(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	if word == "broker" {
		return s.start(rest)
	}
	if s.b == nil {
		if err := s.start(""); err != nil {
			return err
		}
	}
	switch word {
	case "peer":
		return s.peer(rest)
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return err
		}
		s.wait(s.now.Add(d))
		return nil
	case "drain":
		ev := Event{Kind: Drain}
		if rest != "" {
			d, err := time.ParseDuration(rest)
			if err != nil {
				return err
			}
			ev.Deadline = s.now.Add(d)
		}
		s.step(&ev)
		return nil
	case "status":
		return s.status(rest)
	case "stall": // time passes, and nobody wakes the broker
		d, err := time.ParseDuration(rest)
		s.now = s.now.Add(d)
		return err
	case "operate": // the program itself asks
		return s.operate(rest)
	case "repeat":
		count, command, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return err
		}
		for i := range n {
			if err := s.run(strings.ReplaceAll(command, "%d", strconv.Itoa(i+1))); err != nil {
				return err
			}
		}
		return nil
	}
	p := s.peers[word]
	if p == nil {
		if err := s.peer(word); err != nil {
			return err
		}
		p = s.peers[word]
	}
	return s.speak(p, rest)
}

// operate has the program ask for something: "operate mmi.pause service=tea".
func (s *brokerScript) operate(text string) error {
	name, params, _ := strings.Cut(text, " ")
	op := &Operation{Name: name}
	for w := range strings.FieldsSeq(params) {
		name, value, _ := strings.Cut(w, "=")
		at := map[string]any{"service": &op.Service, "worker": &op.Worker, "request": &op.Request}[name]
		if err := setBrokerField(reflect.ValueOf(at).Elem(), value); err != nil {
			return err
		}
	}
	s.step(&Event{Kind: Operate, Operation: op})
	switch {
	case op.Code != 0:
		s.printf("refused (%s): %s", brokerCode(op.Code), op.Reason)
	case op.Released != 0:
		s.printf("done: #%d", op.Released)
	default:
		s.printf("done")
	}
	return nil
}

// start makes the broker: "broker HeartbeatInterval=1s Service.MaxQueued=2".
func (s *brokerScript) start(settings string) error {
	cfg := Config{ID: "b1", Incarnation: "i1", Observe: true}
	for setting := range strings.FieldsSeq(settings) {
		name, value, _ := strings.Cut(setting, "=")
		switch {
		case name == "deny":
			if cfg.Authorizer == nil {
				cfg.Authorizer = brokerDeny{}
			}
			cfg.Authorizer.(brokerDeny)[value] = true
			continue
		case strings.HasPrefix(name, "Services."):
			parts := strings.Split(name, ".")
			sc := cfg.Services[parts[1]]
			if err := setBrokerField(reflect.ValueOf(&sc).Elem().FieldByName(parts[2]), value); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if cfg.Services == nil {
				cfg.Services = make(map[string]ServiceConfig)
			}
			cfg.Services[parts[1]] = sc
			continue
		}
		at := reflect.ValueOf(&cfg).Elem()
		for part := range strings.SplitSeq(name, ".") {
			at = at.FieldByName(part)
		}
		if err := setBrokerField(at, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.b != nil {
		s.finish()
	}
	s.now, s.told = brokerScriptStart, brokerScriptStart
	s.peers, s.names = make(map[string]*Peer), nil
	s.labels, s.addresses = make(map[string]string), make(map[string]string)
	b, err := NewBroker(cfg, s.now)
	s.b = b
	return err
}

func setBrokerField(at reflect.Value, value string) error {
	if !at.IsValid() {
		return errors.New("no such setting")
	}
	switch at.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(value)
		at.SetInt(int64(d))
		return err
	case bool:
		v, err := strconv.ParseBool(value)
		at.SetBool(v)
		return err
	case string:
		at.SetString(value)
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if at.CanUint() {
		at.SetUint(uint64(n))
	} else {
		at.SetInt(n)
	}
	return err
}

// brokerDeny is an Authorizer that permits all but what it holds: "call:tea.brew"
// (by method), "call:tea", "register:tea", "see:", "operate:". With "partly-see" or
// "partly-operate" the right that is denied over all services is asked for by service.
type brokerDeny map[string]bool

func (d brokerDeny) Allow(_ Identity, right Right, service, method []byte) bool {
	name := map[Right]string{MayRegister: "register:", MayCall: "call:", MaySee: "see:", MayOperate: "operate:"}[right]
	return !d[name+string(service)] && (method == nil || !d[name+string(method)])
}

func (d brokerDeny) Partly(_ Identity, right Right) bool {
	return d[map[Right]string{MaySee: "partly-see", MayOperate: "partly-operate"}[right]]
}

func (d brokerDeny) ByMethod(service []byte) bool {
	for denied := range d {
		if strings.HasPrefix(denied, "call:"+string(service)+".") {
			return true
		}
	}
	return false
}

// peer connects a peer: "peer c1 name=alice local".
func (s *brokerScript) peer(rest string) error {
	words := strings.Fields(rest)
	id := Identity{Addr: words[0]}
	for _, w := range words[1:] {
		switch {
		case strings.HasPrefix(w, "name="):
			id.Name = w[len("name="):]
		case w == "local":
			id.Local = true
		default:
			return fmt.Errorf("unknown word %q", w)
		}
	}
	s.peers[words[0]] = NewPeer(id, words[0])
	s.names = append(s.names, words[0])
	return nil
}

// speak has p do what a line says after its name.
func (s *brokerScript) speak(p *Peer, rest string) error {
	c := mdp.Command{Version: mdp.V02}
	if strings.HasPrefix(rest, "0.1 ") {
		c.Version, rest = mdp.V01, rest[len("0.1 "):]
	}
	word, rest, _ := strings.Cut(rest, " ")
	var err error
	switch word {
	case "gone":
		ev := Event{Kind: Gone, Peer: p}
		if rest != "" {
			ev.Err = errors.New(rest)
		}
		s.step(&ev)
		delete(s.peers, p.id.Addr)
		return nil
	case "sends": // raw frames
		frames, err := brokerFrames(rest)
		if err != nil {
			return err
		}
		s.receive(p, frames)
		return nil
	case "READY":
		c.Kind, c.Service = mdp.Ready, brokerName(rest)
	case "HEARTBEAT":
		c.Kind = mdp.Heartbeat
	case "DISCONNECT":
		c.Kind = mdp.Disconnect
	case "REQUEST":
		service, body, _ := strings.Cut(rest, " ")
		c.Kind, c.Service = mdp.ClientRequest, brokerName(service)
		c.Body, err = brokerBody(body)
	case "call", "notify": // a REQUEST to the method's service
		method := strings.Fields(rest)[0]
		if word == "call" {
			method = strings.Fields(rest)[1]
		}
		service, _, _ := jsonrpc.SplitMethod([]byte(method))
		c.Kind, c.Service = mdp.ClientRequest, service
		c.Body, err = brokerBody(word + " " + rest)
	case "asks": // MMI in JSON-RPC
		method, params, _ := strings.Cut(rest, " ")
		c.Kind, c.Service = mdp.ClientRequest, []byte(method)
		c.Body, err = brokerBody(`call "ask" ` + method + brokerParams(params))
	case "registers":
		c.Kind, c.Service = mdp.ClientRequest, []byte(mdp.MMIRegister)
		var reg []byte
		if reg, err = brokerRegistration(rest); err == nil {
			c.Body, err = brokerBody(`call "register" mmi.register params=` + string(reg))
		}
	case "PARTIAL", "FINAL":
		label, body, _ := strings.Cut(rest, " ")
		c.Kind = map[string]mdp.Kind{"PARTIAL": mdp.WorkerPartial, "FINAL": mdp.WorkerFinal}[word]
		if address, ok := s.addresses[label]; ok {
			c.Address = []byte(address)
		} else {
			unquoted, err := strconv.Unquote(label)
			if err != nil {
				return fmt.Errorf("no address %q", label)
			}
			c.Address = []byte(unquoted)
		}
		c.Body, err = brokerBody(body)
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	if err != nil {
		return err
	}
	s.receive(p, c.AppendTo(nil))
	return nil
}

func (s *brokerScript) receive(p *Peer, frames [][]byte) {
	var ev Event
	ev.Received(p, frames, false)
	s.step(&ev)
}

// step makes the broker take ev and prints what it does.
func (s *brokerScript) step(ev *Event) {
	actions := s.b.Step(s.now, ev)
	for i := range actions {
		s.action(&actions[i])
	}
	for _, o := range s.b.Observed() {
		s.observation(&o)
	}
	if err := s.b.invariants(); err != nil {
		s.t.Fatalf("after %v\n%s", err, s.out)
	}
}

// wait lets time pass, with a Wake whenever the broker wants one.
func (s *brokerScript) wait(until time.Time) {
	for steps := 0; ; steps++ {
		require.Less(s.t, steps, 1_000_000, "the broker always wants to be woken")
		at := s.b.NextWake()
		if at.IsZero() || at.After(until) {
			break
		}
		if at.After(s.now) {
			s.now = at
		}
		s.step(&Event{Kind: Wake})
	}
	s.now = until
}

// finish checks that a broker whose peers are gone holds nothing in the end.
func (s *brokerScript) finish() {
	defer func(out *strings.Builder) { s.out = out }(s.out)
	s.out = &strings.Builder{}
	for _, name := range s.names {
		if p := s.peers[name]; p != nil {
			s.step(&Event{Kind: Gone, Peer: p})
		}
	}
	s.wait(s.now.Add(100 * 24 * time.Hour))
	require.NoError(s.t, s.b.brokerLeftovers())
}

// action prints one action.
func (s *brokerScript) action(a *Action) {
	name := ""
	if a.Peer != nil {
		name = a.Peer.id.Addr
	}
	switch a.Kind {
	case Send:
		s.printf("%s <- %s", name, s.message(a.Peer, a.Message))
	case Close:
		s.printf("%s closed: %s", name, a.Text)
	case Note:
		text := a.Text
		if a.Err != nil {
			text += ": " + a.Err.Error()
		}
		s.printf("log %s: %s", name, text)
	case Drained:
		s.printf("drained")
	}
}

// message returns frames in words.
func (s *brokerScript) message(p *Peer, frames [][]byte) string {
	envelope := 0
	for envelope < len(frames) && len(frames[envelope]) > 0 && !bytes.HasPrefix(frames[envelope], []byte("MDP")) {
		envelope++
	}
	c, err := mdp.ParseWorker(frames[envelope:])
	require.NoError(s.t, err, "the broker sent %q", frames)
	c.Envelope = frames[:envelope]
	var out strings.Builder
	for _, f := range c.Envelope {
		fmt.Fprintf(&out, "%q ", f)
	}
	if c.Version == mdp.V01 {
		out.WriteString("0.1 ")
	}
	switch c.Kind {
	case mdp.ClientPartial:
		fmt.Fprintf(&out, "PARTIAL %s", c.Service)
	case mdp.ClientFinal:
		fmt.Fprintf(&out, "FINAL %s", c.Service)
	case mdp.WorkerRequest:
		fmt.Fprintf(&out, "REQUEST %s", s.label(p, c.Address))
	case mdp.Heartbeat:
		out.WriteString("HEARTBEAT")
	case mdp.Disconnect:
		out.WriteString("DISCONNECT")
	}
	if c.Kind == mdp.ClientFinal && mdp.Reserved(c.Service) && len(c.Body) == 1 {
		return out.String() + " " + brokerWordsLong(c.Body[0])
	}
	for _, f := range c.Body {
		out.WriteString(" " + brokerWords(f))
	}
	return out.String()
}

// label returns the name of an address frame in this script, with what it holds.
func (s *brokerScript) label(p *Peer, address []byte) string {
	key := p.id.Addr + " " + string(address)
	label := s.labels[key]
	if label == "" {
		label = "@" + strconv.Itoa(len(s.labels)+1)
		s.labels[key], s.addresses[label] = label, string(address)
	}
	a, err := mdp.ParseAddress(address)
	if err != nil {
		_, err := mdp.ParseToken(address)
		require.NoError(s.t, err, "address %q", address)
		return label
	}
	remaining := "none"
	if a.Remaining != mdp.NoDeadline {
		remaining = strconv.FormatUint(uint64(a.Remaining), 10) + "ms"
	}
	return fmt.Sprintf("%s{remaining %s, attempt %d, service %d, caller %q}", label, remaining, a.Attempt, a.Service, a.Caller)
}

// observation prints what the broker tells its observers.
func (s *brokerScript) observation(o *Observation) {
	words := map[Occasion]string{
		Received: "received", Queued: "queued", Dispatched: "dispatched", Partial: "partial", Replied: "replied", Failed: "failed",
		TimedOut: "timed out", Cancelled: "cancelled", Requeued: "requeued", Quarantined: "quarantined", WorkerJoined: "joined",
		WorkerLeft: "left", ServiceAppeared: "appeared", ServiceGone: "gone",
	}
	require.Equal(s.t, s.now, o.At)
	var out strings.Builder
	switch o.Occasion {
	case WorkerJoined, WorkerLeft:
		fmt.Fprintf(&out, "~ worker %s %s %s", o.Worker.Addr, words[o.Occasion], o.Service)
	case ServiceAppeared, ServiceGone:
		fmt.Fprintf(&out, "~ service %s %s", o.Service, words[o.Occasion])
	case Operated:
		s.operated(&out, o)
	default:
		fmt.Fprintf(&out, "~ #%d %s", o.Request, words[o.Occasion])
		if o.Occasion == Dispatched {
			fmt.Fprintf(&out, " to %s, attempt %d", o.Worker.Addr, o.Attempt)
		}
	}
	if o.Linked != 0 {
		fmt.Fprintf(&out, ", linked to #%d", o.Linked)
	}
	if o.Code != 0 {
		fmt.Fprintf(&out, " (%s)", brokerCode(o.Code))
	}
	if o.Reason != "" {
		fmt.Fprintf(&out, ": %s", o.Reason)
	}
	s.printf("%s", out.String())
}

// operated writes what an operator asked for and who that was.
func (s *brokerScript) operated(out *strings.Builder, o *Observation) {
	fmt.Fprintf(out, "~ operator %s", o.By.Addr)
	switch {
	case o.By.Name != "":
		fmt.Fprintf(out, " (%s)", o.By.Name)
	case o.By == Identity{Local: true}:
		out.WriteString("(the program)")
	}
	fmt.Fprintf(out, ": %s", o.Operation)
	for _, of := range []string{o.Service, o.Instance} {
		if of != "" {
			out.WriteString(" " + of)
		}
	}
	if o.Request != 0 {
		fmt.Fprintf(out, " #%d", o.Request)
	}
}

func (s *brokerScript) status(what string) error {
	snap := s.b.Snapshot()
	raw, err := json.Marshal(snap)
	if err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	members["joined"] = strconv.AppendInt(nil, int64(s.b.waits.requests-s.b.queued), 10)
	for name := range strings.FieldsSeq(what) {
		s.printf("%s: %s", name, members[name])
	}
	return nil
}

// brokerName returns a service name, which may be written in quotes.
func brokerName(word string) []byte {
	if s, err := strconv.Unquote(word); err == nil {
		return []byte(s)
	}
	return []byte(word)
}

// brokerFrames reads frames in quotes, with an x behind the string as a count:
// "a" "b"x3.
func brokerFrames(text string) ([][]byte, error) {
	var frames [][]byte
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return nil, fmt.Errorf("no frame: %q", text)
		}
		frame, _ := strconv.Unquote(quoted)
		text = text[len(quoted):]
		if strings.HasPrefix(text, "x") {
			count, rest, _ := strings.Cut(text[1:], " ")
			n, err := strconv.Atoi(count)
			if err != nil {
				return nil, err
			}
			frame, text = strings.Repeat(frame, n), rest
		}
		frames = append(frames, []byte(frame))
	}
	return frames, nil
}

// brokerBody reads a body: frames in quotes, or one of JSON-RPC in words.
func brokerBody(text string) ([][]byte, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil, errors.New("no body")
	}
	rest := func(n int) string { return strings.Join(words[n:], " ") }
	switch words[0] {
	case "call":
		return [][]byte{brokerRequest(words[1], words[2], words[3:])}, nil
	case "notify":
		return [][]byte{brokerRequest("", words[1], words[2:])}, nil
	case "result":
		return [][]byte{jsonrpc.AppendResult(nil, []byte(words[1]), []byte(rest(2)))}, nil
	case "error":
		code, err := strconv.Atoi(words[2])
		return [][]byte{jsonrpc.AppendFailure(nil, []byte(words[1]), code, rest(3), nil)}, err
	}
	return brokerFrames(text)
}

// brokerRequest writes a request: members of meta are given as name=value.
func brokerRequest(id, method string, words []string) []byte {
	out := []byte(`{"jsonrpc":"2.0"`)
	if id != "" {
		out = append(out, `,"id":`+id...)
	}
	out = append(out, `,"method":"`+method+`"`...)
	var meta []string
	params := ""
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "params":
			params = value
		case "timeout":
			d, err := time.ParseDuration(value)
			if err != nil {
				panic(err)
			}
			meta = append(meta, `"timeout_ms":`+strconv.FormatInt(d.Milliseconds(), 10))
		case "attempt", "window", "timeout_ms":
			meta = append(meta, `"`+name+`":`+value)
		default:
			meta = append(meta, `"`+name+`":"`+value+`"`)
		}
	}
	if meta != nil {
		out = append(out, `,"meta":{`+strings.Join(meta, ",")+`}`...)
	}
	if params != "" {
		out = append(out, `,"params":`+params...)
	}
	return append(out, '}')
}

// brokerParams writes words such as service=tea n=2 as params.
func brokerParams(text string) string {
	if text == "" {
		return ""
	}
	var members []string
	for w := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(w, "=")
		if !json.Valid([]byte(value)) {
			value = strconv.Quote(value)
		}
		members = append(members, strconv.Quote(name)+":"+value)
	}
	return " params={" + strings.Join(members, ",") + "}"
}

// brokerRegistration writes the params of mmi.register:
// "w1 capacity=2 host=k1 pid=7 version=1 cancel credit tea:brew!3,pour coffee",
// where ! means idempotent and the number its attempts.
func brokerRegistration(text string) ([]byte, error) {
	words := strings.Fields(text)
	reg := Registration{Instance: words[0]}
	for _, w := range words[1:] {
		switch {
		case strings.HasPrefix(w, "capacity="):
			n, err := strconv.Atoi(w[len("capacity="):])
			if err != nil {
				return nil, err
			}
			reg.Capacity = n
		case strings.HasPrefix(w, "host="):
			reg.Host = w[len("host="):]
		case strings.HasPrefix(w, "pid="):
			n, err := strconv.Atoi(w[len("pid="):])
			if err != nil {
				return nil, err
			}
			reg.PID = n
		case strings.HasPrefix(w, "version="):
			reg.Version = w[len("version="):]
		case w == "cancel":
			reg.Cancel = true
		case w == "credit":
			reg.Credit = true
		default:
			name, methods, _ := strings.Cut(w, ":")
			doc := ServiceDoc{Name: name}
			for _, m := range strings.FieldsFunc(methods, func(r rune) bool { return r == ',' }) {
				method, attempts, idempotent := strings.Cut(m, "!")
				n, _ := strconv.Atoi(attempts)
				doc.Methods = append(doc.Methods, MethodDoc{Name: method, Idempotent: idempotent, Attempts: n})
			}
			reg.Services = append(reg.Services, doc)
		}
	}
	return json.Marshal(reg)
}

func brokerCode(code int) string {
	if name := jsonrpc.CodeName(code); name != "" {
		return name
	}
	return strconv.Itoa(code)
}

// brokerWords returns a body frame in words.
func brokerWords(frame []byte) string {
	const longest = 120
	if words := brokerWordsLong(frame); len(words) <= longest {
		return words
	}
	return fmt.Sprintf("%d bytes", len(frame))
}

func brokerWordsLong(frame []byte) string {
	var e jsonrpc.Envelope
	jsonrpc.Scan(frame, &e)
	switch e.Kind {
	case jsonrpc.Request:
		return fmt.Sprintf("call %s %s", e.ID, e.Method) + brokerRest(&e)
	case jsonrpc.Notification:
		return fmt.Sprintf("notify %s", e.Method) + brokerRest(&e)
	case jsonrpc.Result:
		return fmt.Sprintf("result %s %s", e.ID, e.Result)
	case jsonrpc.Failure:
		code, message, data, err := jsonrpc.ParseError(e.Error)
		if err != nil {
			return fmt.Sprintf("error %s %s", e.ID, e.Error)
		}
		return strings.TrimSpace(fmt.Sprintf("error %s (%s) %s %s", e.ID, brokerCode(code), message, data))
	}
	return strconv.Quote(string(frame))
}

func brokerRest(e *jsonrpc.Envelope) string {
	out := ""
	if e.Meta.Present {
		out += " meta=" + string(e.Meta.Raw)
	}
	if e.Params != nil {
		out += " params=" + string(e.Params)
	}
	return out
}

// frames returns a message of text frames.
func frames(s ...string) [][]byte {
	m := make([][]byte, len(s))
	for i := range s {
		m[i] = []byte(s[i])
	}
	return m
}
