package majordomo

import (
	"fmt"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// Speak says which protocol the brokers of a worker's or a client's session speak
// (docs/protocol.md "Versions and peers"). It is configured, not found out: a
// frame of MDP/0.2 kills some brokers of MDP/0.1.
type Speak uint8

const (
	// SpeakMesh is MDP/0.2 with what mesh adds to MMI. A broker that answers
	// that it doesn't know the additions is served as a plain one.
	SpeakMesh Speak = iota
	// SpeakMDP02 is plain MDP/0.2 (RFC 18).
	SpeakMDP02
	// SpeakMDP01 is plain MDP/0.1 (RFC 7).
	SpeakMDP01
)

// String returns "mesh", "MDP/0.2" or "MDP/0.1".
func (s Speak) String() string {
	switch s {
	case SpeakMesh:
		return "mesh"
	case SpeakMDP02, SpeakMDP01:
		return s.version().String()
	}
	return fmt.Sprintf("Speak(%d)", uint8(s))
}

// version is the version of the frames.
func (s Speak) version() mdp.Version {
	if s == SpeakMDP01 {
		return mdp.V01
	}
	return mdp.V02
}
