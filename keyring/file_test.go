package keyring

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/transport/curve"
)

func TestGoodFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"least":           "[peer.web]\nkey='$A'",
		"inline":          "peer = {web = {key = '$A', call = ['tea']}}",
		"dotted":          "peer.web.key = '$A'\npeer.web.call = ['tea']",
		"BOM and CRLF":    "\ufeff[peer.web]\r\nkey = '$A'\r\n",
		"empty lists":     "[peer.web]\nkey = '$A'\ncall = []\nregister = []\nroles = []",
		"role behind":     "[peer.web]\nkey = '$A'\nroles = ['r', 'r']\n[role.r]\nsee = true",
		"empty role":      "[peer.web]\nkey = '$A'\nroles = ['r']\n[role.r]",
		"quoted names":    "[peer.\"web 1, café\"]\nkey = '$A'\nroles = ['the guests']\n[role.'the guests']\nsee = false",
		"longest name":    "[peer." + strings.Repeat("a", 255) + "]\nkey = '$A'",
		"entries twice":   "[peer.web]\nkey = '$A'\ncall = ['tea', 'tea.*', 'tea.brew', 'tea', '*']",
		"over many lines": "[peer.web]\nkey = '$A'\ncall = [ # what it may call\n  'tea', # tea\n\n  'till.open',\n]",
		"mmi without dot": "[peer.web]\nkey = '$A'\ncall = ['mmi', 'x.mmi.y']\nregister = ['mmi']",
		"spaces inside":   "[peer.web]\nkey = '$A'\ncall = ['high tea.brew it']",
	} {
		_, fault := parse([]byte(withKeys(text)))
		require.Nil(t, fault, name)
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	const web = "[peer.web]\nkey = '$A'\n"
	for _, c := range []struct{ text, want string }{
		{"", "no peers"},
		{"# nothing\n", "no peers"},
		{"[peer]\n[role.guest]\ncall = ['*']", "no peers"},
		{"\xff", "not UTF-8"},
		{web + "call = ['\xff']", "not UTF-8"},
		{"[\x00p\x00", "1: not TOML: files cannot contain NULL bytes; probably using UTF-16; TOML files must be UTF-8"},
		{"{\"peer\": {}}", "1: not TOML: expected '.' or '=', but got '{' instead"},

		// Syntax. What stands in the file isn't shown.
		{"[peer.web\nkey = '$A'", "2: not TOML: expected '.' or ']' to end table name, but got '\\n' instead"},
		{"[peer.web]\nkey = $A", "2: not TOML: expected value but found …"},
		{"[peer.web]\nkey = 0xyz", "2: not TOML: not a hexadecimal number: …"},
		{"[peer.web]\nkey = 12_34__5", "2: not TOML: Invalid integer …"},
		{"[peer.web]\nkey = 99999999999999999999", "2: not TOML: a number is out of range"},
		{"[peer.web]\nkey = 1e999", "2: not TOML: a number is out of range"},
		{"[peer.web]\nkey = 2020-99-99", "2: not TOML: invalid datetime: …"},
		{"[peer.web]\nkey = \"a\\qb\"", "2: not TOML: invalid escape in string '\\q'"},
		{"[peer.web]\nkey = '$A", "2: not TOML: unexpected EOF; expected …"},
		{"[peer.web]\nkey = '$A\n'", "2: not TOML: strings cannot contain newlines"},
		{web + web, "3: not TOML: this table or member is there twice"},
		{web + "key = '$B'", "3: not TOML: this table or member is there twice"},
		{web + "call = ['tea']\ncall = ['till']", "4: not TOML: this table or member is there twice"},
		{web + "[[peer.web]]", "3: not TOML: this table or member is there twice"},

		// Form.
		{web + "[peers.boss]\nkey = '$B'", `3: "peers" is neither [peer.NAME] nor [role.NAME]`},
		{"see = true\n" + web, `1: "see" is neither [peer.NAME] nor [role.NAME]`},
		{web + "[Peer.boss]\nkey = '$B'", `3: "Peer" is neither [peer.NAME] nor [role.NAME]`},
		{"[[peer]]\nname = 'web'\nkey = '$A'", "1: peer is no table of tables: write [peer.NAME]"},
		{"peer = 1", "1: peer is no table of tables: write [peer.NAME]"},
		{"role = []\n" + web, "1: role is no table of tables: write [role.NAME]"},
		{"[peer]\nkey = '$A'", `2: peer "key" isn't a table`},
		{"[[peer.web]]\nkey = '$A'", `1: peer "web" isn't a table`},
		{web + "\nkye = '$B'", `4: peer "web": "kye" is no member of a peer`},
		{web + "Call = ['tea']", `3: peer "web": "Call" is no member of a peer`},
		{web + "call.tea = true", `3: peer "web": "call" isn't an array of strings`},
		{web + "[peer.web.call]\ntea = true", `3: peer "web": "call" isn't an array of strings`},
		{web + "[role.guest]\n\nkey = '$B'", `5: role "guest": "key" is no member of a role`},
		{web + "[role.guest]\nroles = []", `4: role "guest": "roles" is no member of a role`},
		{web + "call = 'tea'", `3: peer "web": "call" isn't an array of strings`},
		{web + "call = ['tea', 1]", `3: peer "web": "call" isn't an array of strings`},
		{web + "call = [['tea']]", `3: peer "web": "call" isn't an array of strings`},
		{web + "call = [{service = 'tea'}]", `3: peer "web": "call" isn't an array of strings`},
		{web + "see = 'true'", `3: peer "web": "see" is neither true nor false, nor an array of strings`},
		{web + "operate = 1", `3: peer "web": "operate" is neither true nor false, nor an array of strings`},
		{web + "operate = ['tea', true]", `3: peer "web": "operate" isn't an array of strings`},
		{web + "roles = ['guest']", `3: peer "web": "roles" entry 1 "guest" is no role of this file`},
		{web + "roles = ['Guest']\n[role.guest]", `3: peer "web": "roles" entry 1 "Guest" is no role of this file`},

		// Names.
		{"[peer.'']\nkey = '$A'", `1: peer "": the name is empty`},
		{web + "[role.'']", `3: role "": the name is empty`},
		{"[peer.\"a\\u0007b\"]\nkey = '$A'", `1: peer "a\ab": the name has a character at byte 1 that isn't printable`},
		{"[peer.\"a\\u202eb\"]\nkey = '$A'", `1: peer "a\u202eb": the name has a character at byte 1 that isn't printable`},
		{"[peer.\"a\\nb\"]\nkey = '$A'", `1: peer "a\nb": the name has a character at byte 1 that isn't printable`},
		{"[peer.'web ']\nkey = '$A'", `1: peer "web ": the name begins or ends with a space`},
		{"[peer." + strings.Repeat("a", 256) + "]\nkey = '$A'", `1: peer (not shown): the name is longer than 255 bytes`},

		// Keys.
		{"[peer.web]\nsee = true", `1: peer "web" has no key`},
		{"[peer.web]\nkeys = []", `1: peer "web" has no key`},
		{web + "keys = ['$B']", `3: peer "web": "keys" stands beside key: write all of them here`},
		{"[peer.web]\nkey = ['$A']", `2: peer "web": "key" isn't a string`},
		{"[peer.web]\nkeys = '$A'", `2: peer "web": "keys" isn't an array of strings`},
		{"[peer.web]\nkey = ''", `2: peer "web": "key" is no public key: 0 characters, want 40`},
		{"[peer.web]\nkey = '$A '", `2: peer "web": "key" is no public key: 41 characters, want 40`},
		{"[peer.web]\nkeys = ['$A', '" + keyB[:39] + "_']", `2: peer "web": "keys" entry 2 is no public key: character 40 is not of Z85`},
		{"[peer.web]\nkey = '" + strings.Repeat("#", 40) + "'", `2: peer "web": "key" is no public key: characters 1 to 5 are more than 32 bits hold`},
		{"[peer.web]\nkey = '" + strings.Repeat("0", 40) + "'", `2: peer "web": "key" is no public key: all zero, which is no key`},
		{"[peer.web]\nkey = '" + keyA[:35] + "%nSc0'", `2: peer "web": "key" is no public key: the highest bit is set, so no secret key has it`},
		{"[peer.web]\nkeys = ['$A', '$B', '$A']", `2: peer "web": "keys" entry 3 is there twice`},
		{web + "[peer.boss]\nkey = '$B'\n[peer.cron]\nkeys = ['$C', '$A']", `6: peer "cron": "keys" entry 2 is a key of peer "web", too`},
		{web + "[peer.cron]\nkey = '$A'", `4: peer "cron": "key" is a key of peer "web", too`},
		{
			web + "secret-key = '$S'",
			`3: peer "web": "secret-key" has no place here: only public keys stand in this file; if this was a secret key, make a new one`,
		},
		{
			"[peer.web]\nPrivateKey = '$S'",
			`2: peer "web": "PrivateKey" has no place here: only public keys stand in this file; if this was a secret key, make a new one`,
		},

		// Entries.
		{web + "call = ['tea', '']", `3: peer "web": "call" entry 2 "" has no service`},
		{web + "call = ['.brew']", `3: peer "web": "call" entry 1 ".brew" has no service`},
		{web + "call = ['tea.']", `3: peer "web": "call" entry 1 "tea." has no method behind its last dot`},
		{web + "call = ['.']", `3: peer "web": "call" entry 1 "." has no service`},
		{web + "call = ['*.brew']", `3: peer "web": "call" entry 1 "*.brew" has a "*" that stands neither alone nor behind the last dot of a call`},
		{web + "call = ['te*']", `3: peer "web": "call" entry 1 "te*" has a "*" that stands neither alone nor behind the last dot of a call`},
		{web + "call = ['tea.b*']", `3: peer "web": "call" entry 1 "tea.b*" has a "*" that stands neither alone nor behind the last dot of a call`},
		{web + "call = ['**']", `3: peer "web": "call" entry 1 "**" has a "*" that stands neither alone nor behind the last dot of a call`},
		{web + "call = ['tea.*.*']", `3: peer "web": "call" entry 1 "tea.*.*" has a "*" that stands neither alone nor behind the last dot of a call`},
		{web + "call = ['.*']", `3: peer "web": "call" entry 1 ".*" has no service`},
		{web + "call = [' tea']", `3: peer "web": "call" entry 1 " tea" begins or ends with a space`},
		{web + "call = ['tea .brew']", `3: peer "web": "call" entry 1 "tea .brew" begins or ends with a space`},
		{web + "call = ['tea. brew']", `3: peer "web": "call" entry 1 "tea. brew" begins or ends with a space`},
		{web + "call = [\"tea.br\\tew\"]", `3: peer "web": "call" entry 1 "tea.br\tew" has a character at byte 2 that isn't printable`},
		{web + "call = ['mmi.status']", `3: peer "web": "call" entry 1 "mmi.status" is the broker's own: see and operate are for that`},
		{web + "call = ['mmi.*']", `3: peer "web": "call" entry 1 "mmi.*" is the broker's own: see and operate are for that`},
		{web + "call = [\n'" + strings.Repeat("s", 256) + ".x']", `3: peer "web": "call" entry 1 (not shown) has a service longer than 255 bytes`},
		{web + "register = ['tea.*']", `3: peer "web": "register" entry 1 "tea.*" has a "*" that stands neither alone nor behind the last dot of a call`},
		{web + "register = ['']", `3: peer "web": "register" entry 1 "" has no service`},
		{web + "see = ['tea', '']", `3: peer "web": "see" entry 2 "" has no service`},
		{web + "see = ['tea.*']", `3: peer "web": "see" entry 1 "tea.*" has a "*" that stands neither alone nor behind the last dot of a call`},
		{web + "operate = ['mmi.x']", `3: peer "web": "operate" entry 1 "mmi.x" is the broker's own`},
		{web + "register = ['mmi.status']", `3: peer "web": "register" entry 1 "mmi.status" is the broker's own`},
		{web + "[role.guest]\ncall = ['tea.']", `4: role "guest": "call" entry 1 "tea." has no method behind its last dot`},

		// The first one is told, roles before peers.
		{"[peer.web]\nx = 1\ny = 2\n[peer.boss]\nz = 3", `2: peer "web": "x" is no member of a peer`},
		{"[peer.z]\nx = 1\n[peer.a]\nx = 1", `2: peer "z": "x" is no member of a peer`},
		{"peer.web.keys = []\npeer.web.x = 1", `2: peer "web": "x" is no member of a peer`},
		{"peer.web.see = true", `1: peer "web" has no key`},
		{"peer = {web = {x = 1}}", `1: peer "web": "x" is no member of a peer`},
	} {
		_, fault := parse([]byte(withKeys(c.text)))
		require.NotNil(t, fault, c.text)
		got := fault.text
		if fault.line > 0 {
			got = fmt.Sprintf("%d: %s", fault.line, fault.text)
		}
		require.Equal(t, c.want, got, c.text)
	}
}

// Wherever in a file a secret key stands, no error shows a part of it.
func TestErrorsShowNoKeys(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"$S", "'$S'", "\"$S\"", "$S = 1", "\"$S\" = 1", "[$S]", "[\"$S\"]", "[peer.\"$S\"]", "[peer.\"$S\"]\n[peer.\"$S\"]", "[peer.\"$S\"]\nsee = 1",
		"[peer.web]\n\"$S\" = 1", "[peer.web]\nkey = $S", "[peer.web]\nkey = '$S", "[peer.web]\nkey = '$S ' ", "[peer.web]\nkey = '_$S'",
		"[peer.web]\nkey = \"\\$S\"", "[peer.web]\nkey = 1$S", "[peer.web]\nkey = [$S]", "[peer.web]\nkey = {$S}", "[peer.web]\nkey = {a = $S}",
		"[peer.web]\nkey = '$A'\nkey = '$S'", "[peer.web]\nsecret = '$S'", "[peer.web]\nsee = '$S'", "[peer.web]\ncall = ['$S']", "[peer.web]\ncall = '$S'",
		"[peer.web]\nregister = ['$S', '']", "[peer.web]\nregister = ['a $S*']", "[peer.web]\nroles = ['$S']", "[peer.web]\nkeys = ['$S', '$S']", "[role.\"$S\"]\nx = 1",
		"metadata\ncurve\n    public-key = \"$A\"\n    secret-key = \"$S\"\n", "[peer.web]\nkey = '$S'\nx = 1", "[peer.web]\nkey = '''$S\n'''",
		"[peer.web]\nroles = ['mmi.$S']", "[peer.web]\ncall = ['mmi.$S']", "[peer.web]\ncall = ['key=$S*.']",
	} {
		_, fault := parse([]byte(withKeys(text)))
		require.NotNil(t, fault, text)
		for i := range len(secret) - 3 {
			require.NotContains(t, fault.text, secret[i:i+4], text)
		}
	}
}

// FuzzParse reads files, and holds those that are good to what a keyring promises.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"[peer.web]\nkey = '$A'\nroles = ['r']\ncall = ['tea', 'tea.brew', 'a.b.*']\n[role.r]\nsee = true\nregister = ['*']",
		"peer.web = {keys = ['$A', \"$B\"], operate = false}", "[[peer]]\nname = 'web'", "[peer.\"\\u0000\"]\nkey = '''\n$A'''",
		"[peer.web]\nkey = $A\nsecret-key = 2020-01-01", "a = [[[{}]]]\n[b.'c'.\"d\"]",
	} {
		f.Add([]byte(withKeys(text)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, fault := parse(text)
		if fault != nil {
			require.Nil(t, rules)
			require.NotEmpty(t, fault.text)
			require.LessOrEqual(t, fault.line, 1+strings.Count(string(text), "\n"))
			require.NotContains(t, fault.text, "\n")
			return
		}
		require.NotEmpty(t, rules.peers)
		owners := make(map[string]bool)
		for key, name := range rules.names {
			again, err := curve.ParseKey(key.String())
			require.NoError(t, err)
			require.Equal(t, key, again)
			require.Empty(t, badName(name))
			owners[name] = true
		}
		require.Len(t, owners, len(rules.peers), "every peer has a key")
		for name, r := range rules.peers {
			require.True(t, owners[name])
			for method := range r.methods {
				dot := strings.LastIndexByte(method, '.')
				require.True(t, rules.byMethod[method[:dot]])
				require.True(t, r.mayCall([]byte(method[:dot]), []byte(method)))
			}
		}
	})
}
