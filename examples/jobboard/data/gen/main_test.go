package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The committed data set is what this program writes. After a change here run
// go generate ./examples/jobboard/data.
func TestCommittedFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	for name, want := range files() {
		got, err := os.ReadFile(filepath.Join("..", name))
		require.NoError(t, err)
		require.Equal(t, string(want), strings.ReplaceAll(string(got), "\r\n", "\n"), name)
	}
}

func TestEveryProfessionHasEnoughToChooseFrom(t *testing.T) {
	t.Parallel()
	for _, p := range professions {
		name := p.titles[0].name
		require.GreaterOrEqual(t, len(p.skills), 4, name)
		require.GreaterOrEqual(t, len(p.duties), 3, name)
		require.GreaterOrEqual(t, len(p.wants), 3, name)
		require.Less(t, p.low, p.high, name)
	}
}

func TestEveryPlaceIsKnown(t *testing.T) {
	t.Parallel()
	for _, c := range companies {
		for _, place := range c.places {
			require.Contains(t, places, place, c.name)
			require.Contains(t, markets, places[place].Country, c.name)
		}
	}
}

func TestArticle(t *testing.T) {
	t.Parallel()
	for title, want := range map[string]string{
		"Go Developer":   "a Go Developer",
		"Electrician":    "an Electrician",
		"HR Generalist":  "an HR Generalist",
		"UX Designer":    "a UX Designer",
		"iOS Developer":  "an iOS Developer",
		".NET Developer": "a .NET Developer",
	} {
		require.Equal(t, want, article(title))
	}
}

func TestSomeKeepsTheOrder(t *testing.T) {
	t.Parallel()
	d := newDice(1)
	all := []int{1, 2, 3, 4, 5, 6}
	for n := range 8 {
		got := some(d, all, n)
		require.Len(t, got, min(n, len(all)))
		require.IsIncreasing(t, append([]int{0}, append(got, 7)...))
	}
}
