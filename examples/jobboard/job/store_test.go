package job_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/examples/jobboard/job"
)

func ids(ads []job.Ad) []string {
	all := []string{}
	for _, a := range ads {
		all = append(all, a.ID)
	}
	return all
}

func TestStore(t *testing.T) {
	t.Parallel()
	s, err := job.NewStore([]job.Ad{{ID: "c"}, {ID: "a", Title: "Baker"}, {ID: "b"}, {ID: "e"}})
	require.NoError(t, err)

	got, ok := s.Get("a")
	require.True(t, ok)
	require.Equal(t, "Baker", got.Title)
	_, ok = s.Get("d")
	require.False(t, ok)

	for _, page := range []struct {
		name  string
		after string
		limit int
		want  []string
	}{
		{"the first page", "", 2, []string{"a", "b"}},
		{"the next page", "b", 2, []string{"c", "e"}},
		{"the end", "e", 2, []string{}},
		{"a short page", "c", 2, []string{"e"}},
		{"after an ad that was taken down", "d", 2, []string{"e"}},
		{"beyond the end", "z", 2, []string{}},
		{"nothing asked for", "", 0, []string{}},
		{"a negative limit", "", -1, []string{}},
		{"no limit to speak of", "a", math.MaxInt, []string{"b", "c", "e"}},
	} {
		require.Equal(t, page.want, ids(s.After(page.after, page.limit)), page.name)
	}
}

func TestNewStoreRefuses(t *testing.T) {
	t.Parallel()
	_, err := job.NewStore([]job.Ad{{ID: "b"}, {ID: "a"}, {ID: "b"}})
	require.EqualError(t, err, `job: two ads with the id "b"`)

	_, err = job.NewStore([]job.Ad{{Title: "Baker"}})
	require.EqualError(t, err, `job: "Baker" has no id`)
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]job.Location{
		"Stellenbosch, South Africa": {City: "Stellenbosch", Region: "Western Cape", Country: "South Africa"},
		"Singapore":                  {City: "Singapore", Country: "Singapore"},
		"Remote":                     {Remote: true},
		"Remote (South Africa)":      {Remote: true, Country: "South Africa"},
	} {
		require.Equal(t, want, l.String())
	}
	for want, s := range map[string]job.Salary{
		"ZAR 45\u00a0000 – 60\u00a0500 a month":          {Currency: "ZAR", Min: 45_000, Max: 60_500, Per: "month"},
		"COP 900 – 1\u00a0250\u00a0000 a year":           {Currency: "COP", Min: 900, Max: 1_250_000, Per: "year"},
		"EUR 12 – 123\u00a0456 a year":                   {Currency: "EUR", Min: 12, Max: 123_456, Per: "year"},
		"JPY 1\u00a0000 – 100\u00a0000\u00a0000 a month": {Currency: "JPY", Min: 1_000, Max: 100_000_000, Per: "month"},
	} {
		require.Equal(t, want, s.String())
	}
}
