package keyring

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"github.com/mdpmesh/mesh/internal/jsonrpc"
	"github.com/mdpmesh/mesh/internal/mdp"
	"github.com/mdpmesh/mesh/transport/curve"
)

// fault is what is wrong with a file.
type fault struct {
	line int // from 1; 0 where it is no line's
	text string
}

// table is a table of a file.
type table = map[string]any

// file is a file whose syntax was read.
type file struct {
	meta  toml.MetaData
	top   map[string]toml.Primitive // for positions
	rank  map[string]int            // by path, where in the file it comes first
	roles map[string]*rights
	rules *rules
}

// parse reads a file, up to the first thing that is wrong with it.
func parse(text []byte) (*rules, *fault) {
	if !utf8.Valid(text) {
		return nil, &fault{text: "not UTF-8"}
	}
	f := &file{
		top: make(map[string]toml.Primitive), rank: make(map[string]int), roles: make(map[string]*rights),
		rules: &rules{names: make(map[curve.Key]string), peers: make(map[string]*rights), byMethod: make(map[string]bool)},
	}
	var err error
	if f.meta, err = toml.Decode(string(text), &f.top); err != nil {
		var syntax toml.ParseError
		if !errors.As(err, &syntax) {
			return nil, &fault{text: "not TOML"}
		}
		return nil, &fault{syntax.Position.Line, "not TOML: " + harmless(syntax.Message)}
	}
	for i, key := range f.meta.Keys() {
		for n := range key {
			if path := key[:n+1].String(); f.rank[path] == 0 {
				f.rank[path] = i + 1
			}
		}
	}
	top := make(table, len(f.top))
	for name, value := range f.top {
		var raw any
		if err := f.meta.PrimitiveDecode(value, &raw); err != nil {
			return nil, &fault{text: "not TOML"} // never: any value fits
		}
		top[name] = raw
	}
	if fault := f.read(top); fault != nil {
		return nil, fault
	}
	return f.rules, nil
}

// read takes what the file says into f.rules.
func (f *file) read(top table) *fault {
	for _, name := range f.inOrder(nil, maps.Keys(top)) {
		if name != "peer" && name != "role" {
			return f.fault(toml.Key{name}, "%s is neither [peer.NAME] nor [role.NAME]", show(name))
		}
	}
	// Roles may stand behind the peers that have them.
	for _, kind := range []string{"role", "peer"} {
		owners, isTable := top[kind].(table)
		if top[kind] != nil && !isTable {
			return f.fault(toml.Key{kind}, "%s is no table of tables: write [%s.NAME]", kind, kind)
		}
		for _, name := range f.inOrder(toml.Key{kind}, maps.Keys(owners)) {
			o := &owner{file: f, path: toml.Key{kind, name}, rights: newRights()}
			if fault := o.read(kind, name, owners[name]); fault != nil {
				return fault
			}
		}
	}
	if len(f.rules.peers) == 0 {
		// It would shut everybody out, and more likely is still being written.
		return &fault{text: "no peers"}
	}
	for _, r := range f.rules.peers {
		for method := range r.methods {
			service, _, _ := jsonrpc.SplitMethod([]byte(method))
			f.rules.byMethod[string(service)] = true
		}
	}
	return nil
}

// inOrder returns the names in the table at path as they come in the file.
func (f *file) inOrder(path toml.Key, names iter.Seq[string]) []string {
	rank := func(name string) int { return f.rank[append(slices.Clip(path), name).String()] }
	return slices.SortedFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
}

// fault says what is wrong with the value at path.
func (f *file) fault(path toml.Key, format string, args ...any) *fault {
	return &fault{f.line(path), fmt.Sprintf(format, args...)}
}

// line returns where the value at path stands; of a table that has no head of its
// own, where its first member does. The reader of TOML tells that only of a value
// that it can't decode.
func (f *file) line(path toml.Key) int {
	value, ok := f.top[path[0]]
	for _, name := range path[1:] {
		var members map[string]toml.Primitive
		if f.meta.PrimitiveDecode(value, &members) != nil {
			return 0
		}
		value, ok = members[name]
	}
	if !ok {
		return 0
	}
	var at toml.ParseError
	if errors.As(f.meta.PrimitiveDecode(value, undecodable{}), &at); at.Position.Line > 0 {
		return at.Position.Line
	}
	var members map[string]toml.Primitive
	if f.meta.PrimitiveDecode(value, &members) != nil || len(members) == 0 {
		return 0
	}
	return f.line(append(slices.Clip(path), f.inOrder(path, maps.Keys(members))[0]))
}

// undecodable takes no value.
type undecodable struct{}

func (undecodable) UnmarshalTOML(any) error { return errors.New("undecodable") }

// owner is a peer or a role while its table is read.
type owner struct {
	file   *file
	path   toml.Key
	rights *rights
	keys   []curve.Key
}

func (o *owner) read(kind, name string, value any) *fault {
	if why := badName(name); why != "" {
		return o.file.fault(o.path, "%s %s: the name %s", kind, show(name), why)
	}
	members, ok := value.(table)
	if !ok {
		return o.fault("", "isn't a table")
	}
	for _, member := range o.file.inOrder(o.path, maps.Keys(members)) {
		if fault := o.member(kind, member, members[member]); fault != nil {
			return fault
		}
	}
	if kind == "role" {
		o.file.roles[name] = o.rights
		return nil
	}
	if _, both := members["key"]; both && members["keys"] != nil {
		return o.fault("keys", "stands beside key: write all of them here")
	}
	if len(o.keys) == 0 {
		return o.fault("", "has no key")
	}
	o.file.rules.peers[name] = o.rights
	return nil
}

// member reads one member.
func (o *owner) member(kind, name string, value any) *fault {
	isPeer := kind == "peer"
	lower := strings.ToLower(name)
	switch {
	case isPeer && name == "key":
		text, ok := value.(string)
		if !ok {
			return o.fault(name, "isn't a string")
		}
		return o.addKey(name, "", text)
	case isPeer && name == "keys":
		return o.each(name, value, o.addKey)
	case isPeer && name == "roles":
		return o.each(name, value, o.addRole)
	case name == "call":
		return o.each(name, value, o.addCall)
	case name == "register":
		return o.services(name, value, &o.rights.register)
	case name == "see":
		return o.scope(name, value, &o.rights.see)
	case name == "operate":
		return o.scope(name, value, &o.rights.operate)
	case strings.Contains(lower, "secret") || strings.Contains(lower, "private"):
		return o.fault(name, "has no place here: only public keys stand in this file; if this was a secret key, make a new one")
	}
	return o.fault(name, "is no member of a %s", kind)
}

// each hands over the strings of an array, each with what to call it in an error.
func (o *owner) each(member string, value any, take func(member, which, entry string) *fault) *fault {
	entries, ok := value.([]any)
	if !ok {
		return o.fault(member, "isn't an array of strings")
	}
	for i, entry := range entries {
		text, ok := entry.(string)
		if !ok {
			return o.fault(member, "isn't an array of strings")
		}
		if fault := take(member, "entry "+strconv.Itoa(i+1)+" ", text); fault != nil {
			return fault
		}
	}
	return nil
}

// scope reads true, false, or services.
func (o *owner) scope(member string, value any, to *scope) *fault {
	switch value := value.(type) {
	case bool:
		to.all = to.all || value // a role may have given it
		return nil
	case []any:
		return o.services(member, value, to)
	}
	return o.fault(member, "is neither true nor false, nor an array of strings")
}

// services reads an array of services.
func (o *owner) services(member string, value any, to *scope) *fault {
	return o.each(member, value, func(member, which, entry string) *fault {
		if entry == "*" {
			to.all = true
			return nil
		}
		why := badService(entry)
		if mdp.Reserved([]byte(entry)) {
			why = "is the broker's own"
		}
		if why != "" {
			return o.fault(member, "%s%s %s", which, show(entry), why)
		}
		to.names[entry] = true
		return nil
	})
}

func (o *owner) addKey(member, which, text string) *fault {
	key, err := curve.ParseKey(text)
	if err != nil {
		return o.fault(member, "%sis no public key: %s", which, strings.TrimPrefix(err.Error(), "curve: public key: "))
	}
	name := o.path[1]
	if of, taken := o.file.rules.names[key]; taken {
		if of == name {
			return o.fault(member, "%sis there twice", which)
		}
		return o.fault(member, "%sis a key of peer %s, too", which, show(of))
	}
	o.file.rules.names[key] = name
	o.keys = append(o.keys, key)
	return nil
}

func (o *owner) addRole(member, which, name string) *fault {
	role := o.file.roles[name]
	if role == nil {
		return o.fault(member, "%s%s is no role of this file", which, show(name))
	}
	o.rights.add(role)
	return nil
}

func (o *owner) addCall(member, which, entry string) *fault {
	if entry == "*" {
		o.rights.call.all = true
		return nil
	}
	service, method := entry, "*"
	if dot := strings.LastIndexByte(entry, '.'); dot >= 0 {
		service, method = entry[:dot], entry[dot+1:]
	}
	why := badService(service)
	switch {
	case mdp.Reserved([]byte(entry)):
		why = "is the broker's own: see and operate are for that"
	case why == "" && method == "":
		why = "has no method behind its last dot"
	case why == "" && method != "*":
		why = badText(method)
	}
	if why != "" {
		return o.fault(member, "%s%s %s", which, show(entry), why)
	}
	if method == "*" {
		o.rights.call.names[service] = true
	} else {
		o.rights.methods[entry] = true
	}
	return nil
}

// fault says what is wrong with a member, or with the whole table.
func (o *owner) fault(member, format string, args ...any) *fault {
	path := o.path
	who := path[0] + " " + show(path[1])
	if member != "" {
		path = append(path[:2:2], member)
		who += ": " + show(member)
	}
	return o.file.fault(path, "%s %s", who, fmt.Sprintf(format, args...))
}

// badName says what keeps a text from being the name of a peer or role.
func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > mdp.MaxService:
		return fmt.Sprintf("is longer than %d bytes", mdp.MaxService)
	}
	return badCharacters(name)
}

// badService says why a text is no name of a service that rights can go by.
func badService(name string) string {
	switch {
	case name == "":
		return "has no service"
	case len(name) > mdp.MaxService:
		return fmt.Sprintf("has a service longer than %d bytes", mdp.MaxService)
	}
	return badText(name)
}

// badText says what is wrong with the characters of a service or method.
func badText(text string) string {
	if strings.Contains(text, "*") {
		return `has a "*" that stands neither alone nor behind the last dot of a call`
	}
	return badCharacters(text)
}

func badCharacters(text string) string {
	for i, r := range text {
		if !unicode.IsPrint(r) {
			return fmt.Sprintf("has a character at byte %d that isn't printable", i)
		}
	}
	if strings.TrimSpace(text) != text {
		return "begins or ends with a space"
	}
	return ""
}

// show quotes a text of the file for an error, unless it might have a key in it,
// which nearly always has characters that names don't.
func show(text string) string {
	const long, tooLong = 32, 80
	odd := strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_ ", r)
	})
	if len(text) >= long && odd || len(text) > tooLong {
		return "(not shown)"
	}
	return strconv.QuoteToASCII(text)
}

// singleQuotes matches a message that quotes single characters only.
var singleQuotes = regexp.MustCompile(`^[^'"]*('(\\.[^']*|[^'])'[^'"]*)*$`)

// harmless returns what the reader of TOML says without what it read there: that
// may be a part of a secret key.
func harmless(message string) string {
	switch {
	case strings.HasPrefix(message, "Key '"):
		return "this table or member is there twice"
	case strings.Contains(message, "out of range"):
		return "a number is out of range"
	case singleQuotes.MatchString(message):
		return message
	}
	return strings.TrimRight(message[:strings.IndexAny(message, `'"`)], " ") + " …"
}
