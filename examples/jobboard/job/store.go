package job

import (
	"fmt"
	"slices"
	"strings"
)

// Store holds ads in memory. It doesn't change once it was made, so that many
// goroutines may read it at once.
type Store struct {
	ads []Ad // in the order of their ids
}

// NewStore returns a store of the ads. It fails where two have the same id or
// one has none.
func NewStore(ads []Ad) (*Store, error) {
	s := &Store{ads: slices.SortedFunc(slices.Values(ads), func(a, b Ad) int { return strings.Compare(a.ID, b.ID) })}
	for i, a := range s.ads {
		if a.ID == "" {
			return nil, fmt.Errorf("job: %q has no id", a.Title)
		}
		if i > 0 && a.ID == s.ads[i-1].ID {
			return nil, fmt.Errorf("job: two ads with the id %q", a.ID)
		}
	}
	return s, nil
}

// Get returns the ad with the id, or false.
func (s *Store) Get(id string) (Ad, bool) {
	i, ok := s.find(id)
	if !ok {
		return Ad{}, false
	}
	return s.ads[i], true
}

// After returns at most limit ads whose ids come after the id, in their order;
// the empty id comes before all others. It doesn't matter whether there is an ad
// with the id, so that a reader who goes through the ads page by page loses none
// when one is taken down.
func (s *Store) After(id string, limit int) []Ad {
	from, ok := s.find(id)
	if ok {
		from++
	}
	return slices.Clip(s.ads[from : from+min(max(limit, 0), len(s.ads)-from)])
}

func (s *Store) find(id string) (int, bool) {
	return slices.BinarySearchFunc(s.ads, id, func(a Ad, id string) int { return strings.Compare(a.ID, id) })
}
