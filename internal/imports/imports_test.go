// Package imports holds the rules about who may import whom (docs/design.md).
// It consists of this test.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/mdpmesh/mesh"

// everything allows a package to import any package of this module.
const everything = "..."

// rule says what some packages may import. Packages of this module are named
// from its root, which is "."; a name may be a pattern of path.Match, or end in
// "/..." for all that is below.
type rule struct {
	packages []string
	// may are the packages of this module that they may import. What these
	// import is their own affair.
	may []string
	// modules are the other modules that they may depend on, directly or not.
	// nil allows none; everything allows all.
	modules []string
	// std are the packages of the standard library that they may import
	// themselves; nil allows all.
	std []string
	// timeless forbids to read the clock and to wait for it.
	timeless bool
}

var rules = []rule{
	{
		packages: []string{"transport"},
	},
	{
		packages: []string{"transport/inproc", "transport/faulty"},
		may:      []string{"transport"},
	},
	{
		packages: []string{"transport/transporttest"},
		may:      []string{"transport"},
		modules:  []string{"github.com/stretchr/testify", "go.uber.org/goleak", "go.yaml.in/yaml/v3"}, // the last is testify's
	},
	{
		packages: []string{"internal/mdp", "internal/jsonrpc"},
		std:      pure,
		timeless: true,
	},
	{
		packages: []string{"transport/zmtp/internal/wire"},
		std:      pure,
		timeless: true,
	},
	{
		packages: []string{"transport/internal/sockets"},
		may:      []string{"transport", "transport/curve"},
	},
	{
		packages: []string{"transport/zmq"},
		may:      []string{"transport", "transport/curve", "transport/internal/sockets"},
		modules:  []string{"github.com/pebbe/zmq4", "golang.org/x/sys"},
	},
	{
		packages: []string{"transport/zmtp"},
		may:      []string{"transport", "transport/curve", "transport/internal/sockets", "transport/zmtp/internal/wire", "internal/curvezmq"},
		modules:  []string{"golang.org/x/crypto", "golang.org/x/sys"},
	},
	{
		packages: []string{"internal/endtoend"},
		may:      []string{".", "transport"},
		modules:  []string{everything},
	},
	{
		packages: []string{"transport/curve"},
	},
	{
		packages: []string{"internal/curvezmq"},
		may:      []string{"transport/curve"},
		modules:  []string{"golang.org/x/crypto", "golang.org/x/sys"},             // the last is crypto's
		std:      append([]string{"crypto/ecdh", "crypto/subtle", "io"}, pure...), // io.Reader is for the randomness that it is given
		timeless: true,
	},
	{
		packages: []string{"internal/majordomo"},
		may:      []string{"internal/mdp", "internal/jsonrpc"},
		std:      append([]string{"hash/maphash"}, pure...), // its random seed spreads keys over buckets and shows nowhere
		timeless: true,
	},
	{
		packages: []string{"internal/sim"},
		may:      []string{"internal/majordomo", "internal/mdp", "internal/jsonrpc"},
		std:      append([]string{"math/rand/v2", "runtime/debug"}, pure...), // a seed's random numbers, and where an engine panicked
		timeless: true,
	},
	{
		packages: []string{"internal/contract"},
		modules:  contractLibraries,
	},
	{
		packages: []string{"internal/beacon"},
		may:      []string{"transport/curve"},
		modules:  networkLibraries,
	},
	{
		packages: []string{"."},
		may:      []string{"transport", "transport/inproc", "internal/*"},
		modules:  slices.Concat([]string{"golang.org/x/sync"}, networkLibraries, contractLibraries),
	},
	{
		packages: []string{"keyring"},
		may:      []string{".", "transport", "transport/curve", "internal/mdp", "internal/jsonrpc"},
		modules:  slices.Concat([]string{"github.com/BurntSushi/toml", "golang.org/x/sync"}, networkLibraries, contractLibraries),
	},
	{
		packages: []string{"meshtest"},
		may:      []string{".", "transport", "transport/*", "internal/mdp", "internal/jsonrpc"},
		modules:  slices.Concat([]string{"golang.org/x/sync"}, networkLibraries, contractLibraries),
	},
	{
		packages: []string{"internal/interop", "internal/netns"}, // their tests import what they like
		std:      []string{},
	},
	{
		packages: []string{"internal/leg"},
		std:      []string{"os", "slices", "strings"},
	},
	{
		packages: []string{"cmd/...", "examples/..."},
		may:      []string{everything},
		modules:  []string{everything},
	},
}

// pure are the packages that compute and do nothing else. fmt is for errors and
// strings.
var pure = []string{
	"bytes", "cmp", "container/heap", "container/list", "crypto/sha256", "encoding/binary", "encoding/hex", "encoding/json", "errors", "fmt", "iter",
	"maps", "math", "math/bits", "slices", "strconv", "strings", "time", "unicode", "unicode/utf16", "unicode/utf8", "unsafe",
}

// contractLibraries are what contracts need: JSON and JSON Schema.
var contractLibraries = []string{
	"github.com/go-json-experiment/json",
	"github.com/santhosh-tekuri/jsonschema/v6",
	"golang.org/x/text", // for the messages of the schema library
}

// networkLibraries are what multicast needs; the last is that of golang.org/x/net.
var networkLibraries = []string{"golang.org/x/net", "golang.org/x/sys"}

// testLibraries never reach a user's binary, and neither does package testing.
var testLibraries = []string{
	"testing",
	"github.com/stretchr/testify",
	"go.uber.org/goleak",
	"pgregory.net/rapid",
}

// forTests are the packages that are made for tests, with the test libraries that
// they may use.
var forTests = map[string][]string{
	"meshtest":                {"testing"},
	"transport/transporttest": {"testing", "github.com/stretchr/testify", "go.uber.org/goleak"},
	"internal/endtoend":       {"testing", "github.com/stretchr/testify", "go.uber.org/goleak"},
}

func TestImports(t *testing.T) {
	t.Parallel()
	listed := load(t)
	t.Run("every package obeys one rule", func(t *testing.T) {
		t.Parallel()
		for _, p := range listed.own() {
			found := ruleFor(p.name())
			if len(found) != 1 {
				t.Errorf("%d rules say what %s may import, not one", len(found), p.name())
				continue
			}
			for _, broken := range found[0].broken(t, p, listed) {
				t.Errorf("%s %s", p.name(), broken)
			}
		}
	})
	t.Run("every rule is about something", func(t *testing.T) {
		t.Parallel()
		for _, r := range rules {
			var imports, depends []string
			for _, pattern := range r.packages {
				var found bool
				for _, p := range listed.own() {
					if match(pattern, p.name()) {
						found = true
						imports = append(imports, p.Imports...)
						depends = append(depends, p.Deps...)
					}
				}
				require.True(t, found, "a rule is about %s, and there is no such package", pattern)
			}
			for _, pattern := range r.may {
				require.True(t, pattern == everything || slices.ContainsFunc(imports, func(pkgPath string) bool {
					name, ours := local(pkgPath)
					return ours && match(pattern, name)
				}), "%v may import %s, and none does", r.packages, pattern)
			}
			for _, module := range r.modules {
				require.True(t, module == everything || slices.ContainsFunc(depends, func(pkgPath string) bool {
					return listed[pkgPath].Module.Path == module
				}), "%v may depend on %s, and none does", r.packages, module)
			}
		}
	})
	t.Run("test libraries stay in tests", func(t *testing.T) {
		t.Parallel()
		for _, p := range listed.own() {
			for _, library := range tests(p) {
				if !within(library, forTests[p.name()]) {
					t.Errorf("%s depends on %s outside its tests", p.name(), library)
				}
			}
		}
		for name, libraries := range forTests {
			p := listed[module+"/"+name]
			require.NotNil(t, p, "forTests names %s, and there is no such package", name)
			for _, library := range libraries {
				require.True(t, slices.ContainsFunc(tests(p), func(pkgPath string) bool { return within(pkgPath, []string{library}) }),
					"%s may use %s, and doesn't", name, library)
			}
		}
	})
}

// A rule that can't be broken holds nothing, so each kind is broken here.
func TestRulesCanBeBroken(t *testing.T) {
	t.Parallel()
	inModule := func(pkgPath string) *pkg {
		p := &pkg{ImportPath: pkgPath}
		p.Module.Path = pkgPath
		return p
	}
	listed := list{
		"fmt":                {ImportPath: "fmt", Standard: true},
		"sync":               {ImportPath: "sync", Standard: true},
		"example.com/a":      inModule("example.com/a"),
		"example.com/b":      inModule("example.com/b"),
		module + "/internal": inModule(module),
	}
	for _, test := range []struct {
		rule rule
		p    pkg
		want []string
	}{
		{rule{}, pkg{Imports: []string{"fmt", "sync"}, Deps: []string{"fmt", "sync"}}, nil},
		{rule{std: []string{"fmt"}}, pkg{Imports: []string{"fmt", "sync"}}, []string{"imports sync"}},
		{rule{}, pkg{Imports: []string{module + "/internal/mdp", module}}, []string{"imports internal/mdp", "imports ."}},
		{rule{may: []string{"internal/*"}}, pkg{Imports: []string{module + "/internal/mdp", module}}, []string{"imports ."}},
		{rule{may: []string{everything}}, pkg{Imports: []string{module + "/internal/mdp", module}}, nil},
		{rule{}, pkg{Deps: []string{"example.com/a"}}, []string{"depends on example.com/a"}},
		{rule{modules: []string{"example.com/a"}}, pkg{Deps: []string{"example.com/a", "example.com/b"}}, []string{"depends on example.com/b"}},
		{rule{modules: []string{everything}}, pkg{Deps: []string{"example.com/a"}}, nil},
	} {
		require.Equal(t, test.want, test.rule.broken(t, &test.p, listed))
	}

	read := func(source string) []string {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+source, 0)
		require.NoError(t, err)
		return clocks(file)
	}
	require.Equal(t, []string{"Now", "AfterFunc"}, read("import \"time\"\nvar a, b = time.Now(), time.AfterFunc(time.Second, nil)"))
	require.Equal(t, []string{"Now"}, read("import when \"time\"\nvar now func() when.Time = when.Now"))
	require.Empty(t, read("import \"time\"\nvar a = time.Unix(0, 0)"))
	require.Empty(t, read("import time \"example.com/a\"\nvar a = time.Now()"))

	require.Empty(t, tests(&pkg{Deps: []string{"fmt", "go.uber.org/goleaks"}}))
	require.Equal(t, []string{"testing", "testing/synctest", "go.uber.org/goleak"},
		tests(&pkg{Deps: []string{"testing", "testing/synctest", "go.uber.org/goleak"}}))
}

// broken returns what p does against the rule.
func (r rule) broken(t *testing.T, p *pkg, listed list) []string {
	t.Helper()
	var found []string
	for _, pkgPath := range p.Imports {
		switch name, ours := local(pkgPath); {
		case ours && !slices.ContainsFunc(r.may, func(pattern string) bool { return pattern == everything || match(pattern, name) }):
			found = append(found, "imports "+name)
		case !ours && r.std != nil && listed[pkgPath].Standard && !slices.Contains(r.std, pkgPath):
			found = append(found, "imports "+pkgPath)
		}
	}
	for _, pkgPath := range p.Deps {
		d := listed[pkgPath]
		if _, ours := local(pkgPath); ours || d.Standard || slices.Contains(r.modules, everything) {
			continue
		}
		if !slices.Contains(r.modules, d.Module.Path) {
			found = append(found, "depends on "+pkgPath)
		}
	}
	if r.timeless {
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, f := range clocks(file) {
				found = append(found, "uses time."+f+" in "+name)
			}
		}
	}
	return found
}

// clocks returns the functions of package time that a file uses and that read the
// clock or wait for it.
func clocks(file *ast.File) []string {
	name := ""
	for _, spec := range file.Imports {
		if spec.Path.Value == strconv.Quote("time") {
			name = "time"
			if spec.Name != nil {
				name = spec.Name.Name
			}
		}
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); !ok || x.Name != name {
			return true
		}
		switch s.Sel.Name {
		case "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker":
			found = append(found, s.Sel.Name)
		}
		return true
	})
	return found
}

// tests returns what p depends on of the test libraries.
func tests(p *pkg) []string {
	var found []string
	for _, pkgPath := range p.Deps {
		if within(pkgPath, testLibraries) {
			found = append(found, pkgPath)
		}
	}
	return found
}

// within reports whether a package is one of the roots or below one.
func within(name string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return name == root || strings.HasPrefix(name, root+"/") })
}

func ruleFor(name string) []rule {
	var found []rule
	for _, r := range rules {
		if slices.ContainsFunc(r.packages, func(pattern string) bool { return match(pattern, name) }) {
			found = append(found, r)
		}
	}
	return found
}

func match(pattern, name string) bool {
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return within(name, []string{root})
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// local returns a package's name within this module, if it belongs to it.
func local(importPath string) (name string, ours bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// pkg is what go list says of a package, without its tests.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
	Standard   bool
	Module     struct{ Path string }
}

func (p *pkg) name() string {
	name, _ := local(p.ImportPath)
	return name
}

// list holds packages by import path.
type list map[string]*pkg

// own returns the packages of this module, by name.
func (l list) own() []*pkg {
	var all []*pkg
	for pkgPath, p := range l {
		// A directory of tests alone has nothing to import.
		if _, ours := local(pkgPath); ours && len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return all
}

// load lists the packages of this module and all that they depend on.
func load(t *testing.T) list {
	t.Helper()
	root := filepath.Join("..", "..")
	touch(t, root)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Imports,Deps,Standard,Module", "./...")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1") // the rules are about everything that may be built
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	listed := list{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		listed[p.ImportPath] = &p
	}
	require.NotEmpty(t, listed.own())
	return listed
}

// touch opens the module's directories. go test keeps a result until what the
// test opened changes, and doesn't see what go list opened.
func touch(t *testing.T, root string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && dir != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		return err
	}))
}
