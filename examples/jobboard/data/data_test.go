package data_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mdpmesh/mesh/examples/jobboard/data"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	users, err := data.Users()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(users), 40)
	ids, names := map[string]bool{}, map[string]bool{}
	for _, u := range users {
		require.False(t, ids[u.ID], "%s comes twice", u.ID)
		require.False(t, names[u.Name], "%s comes twice", u.Name)
		ids[u.ID], names[u.Name] = true, true
		require.NotEmpty(t, u.Name, u.ID)
		require.NotEmpty(t, u.Company, u.ID)
		require.NotEmpty(t, u.Languages, u.ID)
		// A domain that nobody can own (RFC 2606), so that no letter arrives.
		require.Regexp(t, `^[a-z.]+@[a-z-]+\.example$`, u.Email)
		_, err := time.Parse(time.DateOnly, u.Joined)
		require.NoError(t, err, u.ID)
	}
}

func TestAds(t *testing.T) {
	t.Parallel()
	users, err := data.Users()
	require.NoError(t, err)
	companies := map[string]string{}
	for _, u := range users {
		companies[u.ID] = u.Company
	}
	ads, err := data.Ads()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(ads), 240)

	texts, cities, titles, posted := map[string]bool{}, map[string]bool{}, map[string]bool{}, ""
	id := ""
	for _, a := range ads {
		require.Greater(t, a.ID, id, "ids increase")
		require.GreaterOrEqual(t, a.Posted, posted, "%s was posted before its predecessor", a.ID)
		id, posted = a.ID, a.Posted
		_, err := time.Parse(time.DateOnly, a.Posted)
		require.NoError(t, err, a.ID)
		require.Equal(t, a.Company, companies[a.Recruiter], "%s is posted by somebody from elsewhere", a.ID)
		require.NotEqual(t, a.Location.Remote, a.Location.City != "", a.ID)
		require.Contains(t, []string{"permanent", "fixed term", "part time"}, a.Contract)
		require.Positive(t, a.Salary.Min, a.ID)
		require.Less(t, a.Salary.Min, a.Salary.Max, a.ID)
		require.Contains(t, []string{"month", "year"}, a.Salary.Per)
		require.GreaterOrEqual(t, len(a.Skills), 4, a.ID)
		require.Contains(t, a.Text, a.Title, a.ID)
		require.Contains(t, a.Text, a.Company, a.ID)
		require.Len(t, strings.Split(a.Text, "\n\n"), 4, a.ID)
		require.NotContains(t, a.Text, "  ", a.ID)
		require.False(t, texts[a.Text], "%s has the text of another", a.ID)
		texts[a.Text], cities[a.Location.City], titles[a.Title] = true, true, true
	}
	require.Greater(t, len(cities), 40)
	require.Greater(t, len(titles), 150)
}
