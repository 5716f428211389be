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
// takes, and the cases of badinput_test.go. A test is taken to have a case of each string
// in its file.
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
		var tests []string
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			tests = append(tests, f.Name.Name)
			known[f.Name.Name] = true
			ast.Inspect(f, func(n ast.Node) bool {
				if name := badInputCaseName(n); name != "" && path == badInputCases {
					here = append(here, f.Name.Name+"/"+name)
				}
				return true
			})
		}
		if strings.HasPrefix(path, "transport/transporttest/") {
			tests = append(tests, "TestConformance") // of every transport
		}
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			for _, test := range tests {
				known[test+"/"+strings.ReplaceAll(text, " ", "_")] = err == nil
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	return known, here
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
	lit, ok := value.(*ast.BasicLit)
	if !ok {
		return ""
	}
	name, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(name, " ", "_")
}
