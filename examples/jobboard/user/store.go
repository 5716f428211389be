package user

import "fmt"

// Store holds users in memory. It doesn't change once it was made, so that many
// goroutines may read it at once.
type Store struct {
	byID map[string]User
}

// NewStore returns a store of the users. It fails where two have the same id or
// one has none.
func NewStore(users []User) (*Store, error) {
	s := &Store{byID: make(map[string]User, len(users))}
	for _, u := range users {
		if u.ID == "" {
			return nil, fmt.Errorf("user: %q has no id", u.Name)
		}
		if _, taken := s.byID[u.ID]; taken {
			return nil, fmt.Errorf("user: two users with the id %q", u.ID)
		}
		s.byID[u.ID] = u
	}
	return s, nil
}

// Get returns the user with the id, or false.
func (s *Store) Get(id string) (User, bool) {
	u, ok := s.byID[id]
	return u, ok
}
