package contract

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// plenty is more faults than a document here can have.
const plenty = 1 << 20

// oracle checks documents against one schema in two ways: by rules, and by the
// library.
type oracle struct {
	name    string
	rules   *rule
	library *rule
}

func newOracle(t testing.TB, name string, c *Contract) oracle {
	t.Helper()
	library, err := compileLibrary(c.Schema())
	require.NoError(t, err)
	require.Nil(t, c.rule.library, "rules can express the schema")
	return oracle{name, c.rule, &rule{types: anyType, library: library}}
}

func oracles(t testing.TB) []oracle {
	t.Helper()
	var all []oracle
	for _, s := range subjects {
		c, err := For(s.typ, Config{})
		require.NoError(t, err)
		all = append(all, newOracle(t, s.name, c))
	}
	return all
}

// agree fails unless both find the same places wrong in a document.
func (o oracle) agree(t require.TestingT, document []byte) {
	faults := o.rules.run(document, plenty)
	valid := jsontext.Value(document).IsValid()
	if !valid {
		require.NotNil(t, faults, "%s: %q isn't JSON", o.name, document)
	}
	if !valid || tooDeep(document) {
		return
	}
	known := o.library.run(document, plenty)
	if slices.ContainsFunc(known, func(f Fault) bool { return f.Message == messageUnwieldy }) {
		return
	}
	if slices.ContainsFunc(known, func(f Fault) bool { return strings.HasSuffix(f.Message, messageName) }) {
		require.NotNil(t, faults, "%s: %s\nlibrary: %v", o.name, document, known)
		return // the library has lost these paths
	}
	require.Equal(t, paths(known), paths(faults), "%s: %s\nlibrary: %v\nrules: %v", o.name, document, known, faults)
}

func paths(faults []Fault) []string {
	var all []string
	for _, f := range faults {
		all = append(all, f.Path)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// tooDeep reports whether a document has more brackets in one another than MaxDepth,
// those in strings counted too.
func tooDeep(document []byte) bool {
	depth, deepest := 0, 0
	for _, c := range document {
		switch c {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest > MaxDepth
}

// TestOracle draws documents that are about right for each type.
func TestOracle(t *testing.T) {
	t.Parallel()
	for i, o := range oracles(t) {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			valid := false
			rapid.Check(t, func(t *rapid.T) {
				d := drawDocument(t, subjects[i].typ)
				o.agree(t, d)
				valid = valid || o.rules.run(d, 1) == nil
			})
			require.True(t, valid, "not one valid document was drawn")
		})
	}
}

// FuzzDecode wants what was decoded to be encoded as the contract says, whatever it
// came from.
func FuzzDecode(f *testing.F) {
	var contracts []*Contract
	for i, s := range subjects {
		c, err := For(s.typ, Config{})
		require.NoError(f, err)
		contracts = append(contracts, c)
		for n := range 10 {
			f.Add(uint8(i), rapid.Custom(func(t *rapid.T) []byte { return drawDocument(t, s.typ) }).Example(n))
		}
	}
	codec := new(JSON)
	f.Fuzz(func(t *testing.T, which uint8, document []byte) {
		at := int(which) % len(subjects)
		v := reflect.New(subjects[at].typ)
		if contracts[at].Decode(codec, document, v.Interface()) != nil {
			return
		}
		text, err := codec.Marshal(v.Interface())
		require.NoError(t, err)
		require.Empty(t, contracts[at].Check(text), "%s became %s", document, text)
	})
}

// FuzzOracle lets the rules and the library look at whatever comes.
func FuzzOracle(f *testing.F) {
	all := oracles(f)
	for i, s := range subjects {
		for n := range 20 {
			f.Add(uint8(i), rapid.Custom(func(t *rapid.T) []byte { return drawDocument(t, s.typ) }).Example(n))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, document []byte) {
		all[int(which)%len(all)].agree(t, document)
	})
}
