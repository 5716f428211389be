package mesh_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// badInputCases is the file whose tests the table must have all cases of.
const badInputCases = "badinput_test.go"

// TestBadInputTable finds the tests that the table in docs/protocol.md names, and
// in the table every case of badinput_test.go.
func TestBadInputTable(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("docs/protocol.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(doc), "\n## Bad input\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")

	named := make(map[string]bool)
	for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9_]+(?:/[^`]+)?)`").FindAllStringSubmatch(section, -1) {
		named[m[1]] = true
	}
	require.NotEmpty(t, named)
	known, here := badInputTests(t)
	for name := range named {
		require.True(t, known[name], "the table names %s, which doesn't exist", name)
	}
	require.NotEmpty(t, here)
	for _, name := range here {
		require.True(t, named[name], "the table lacks %s", name)
	}
}

// badInputTests returns the tests of the whole module, by the names that go test
// takes, and the cases of badinput_test.go. Of the cases of other tests it knows those
// of badinput_test.go and of the suite that every transport passes.
func badInputTests(t *testing.T) (known map[string]bool, here []string) {
	t.Helper()
	known = make(map[string]bool)
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "transport/transporttest/") {
			return err
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			known[f.Name.Name] = true
			ast.Inspect(f, func(n ast.Node) bool {
				if name := badInputCaseName(n); name != "" && path == badInputCases {
					here = append(here, f.Name.Name+"/"+name)
					known[f.Name.Name+"/"+name] = true
				}
				return true
			})
		}
		if strings.HasPrefix(path, "transport/transporttest/") {
			for _, name := range conformanceCases(file) {
				known["TestConformance/"+name] = true
			}
		}
		return nil
	})
	require.NoError(t, err)
	return known, here
}

// conformanceCases returns the names in the list "cases" of the file, whose elements
// are a name and a function.
func conformanceCases(file *ast.File) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "cases" || len(spec.Values) != 1 {
			return true
		}
		list, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, e := range list.Elts {
			c, ok := e.(*ast.CompositeLit)
			if !ok || len(c.Elts) == 0 {
				continue
			}
			if name := literal(c.Elts[0]); name != "" {
				names = append(names, name)
			}
		}
		return false
	})
	return names
}

// badInputCaseName returns the name of a case that n makes, or "".
func badInputCaseName(n ast.Node) string {
	var value ast.Expr
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); !ok || key.Name != "name" {
			return ""
		}
		value = n.Value
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); !ok || f.Name != "faulty" {
			return ""
		}
		value = n.Args[0]
	default:
		return ""
	}
	return strings.ReplaceAll(literal(value), " ", "_")
}

// literal returns the text of a string literal, or "".
func literal(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}
