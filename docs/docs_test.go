// Package docs holds the documents to what there is. It consists of this test.
package docs

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the whole of the project.
var module = os.DirFS("..")

// scripts are the scenarios of TestBrokerScripts.
const scripts = "internal/majordomo/testdata/broker"

// Each test and each script that these documents name is there.
func TestNamesInDocuments(t *testing.T) {
	t.Parallel()
	tests := declared(t)
	for name, least := range map[string]int{"reliability.md": 40, "operations.md": 3} {
		text, err := fs.ReadFile(module, path.Join("docs", name))
		require.NoError(t, err)
		found := 0
		for _, quoted := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(string(text), -1) {
			word := quoted[1]
			switch {
			case regexp.MustCompile(`^(Test|Fuzz|Example|Benchmark)[A-Z]\w*$`).MatchString(word):
				require.True(t, tests[word], "%s names %s", name, word)
			case regexp.MustCompile(`^(promise|pitfall|limit|table|a\d+)-[\w.*-]+$`).MatchString(word):
				files, err := fs.Glob(module, path.Join(scripts, word+".txt"))
				require.NoError(t, err)
				require.NotEmpty(t, files, "%s names %s", name, word)
			default:
				continue
			}
			found++
		}
		require.GreaterOrEqual(t, found, least, "of %s", name)
	}
}

// Each link of these documents leads somewhere.
func TestLinksInDocuments(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"reliability.md", "operations.md"} {
		text, err := fs.ReadFile(module, path.Join("docs", name))
		require.NoError(t, err)
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
			file, part, _ := strings.Cut(link[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			if file == "" {
				file = name
			}
			file = path.Join("docs", file)
			_, err := fs.Stat(module, file)
			require.NoError(t, err, "%s leads to %s", name, link[1])
			if part != "" {
				require.Contains(t, parts(t, file), part, "%s leads to %s", name, link[1])
			}
		}
	}
}

// parts returns the anchors of the headings of a document, as GitHub makes them.
func parts(t *testing.T, file string) (anchors []string) {
	t.Helper()
	text, err := fs.ReadFile(module, file)
	require.NoError(t, err)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		kept := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors = append(anchors, strings.ReplaceAll(kept, " ", "-"))
	}
	return anchors
}

// declared returns the names of all tests, fuzz tests, examples and benchmarks.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)\w*)\(`)
	require.NoError(t, fs.WalkDir(module, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(module, name)
		for _, found := range function.FindAllStringSubmatch(string(text), -1) {
			all[found[1]] = true
		}
		return err
	}))
	return all
}
