package mdp

// The frames that messages share. They are read-only, and their capacity is
// their length, so that nobody can append to them in place.
var (
	empty     = []byte{}
	headerC01 = []byte{'M', 'D', 'P', 'C', '0', '1'}
	headerW01 = []byte{'M', 'D', 'P', 'W', '0', '1'}
	headerC02 = []byte{'M', 'D', 'P', 'C', '0', '2'}
	headerW02 = []byte{'M', 'D', 'P', 'W', '0', '2'}

	codeFrames = [...][]byte{nil, {1}, {2}, {3}, {4}, {5}, {6}}
)

// codes holds the command bytes; zero: there is none. The versions disagree from
// 0x03 on, and 0x05 is DISCONNECT in one and HEARTBEAT in the other. In MDP/0.1 a
// client's commands have no byte, the direction tells them apart.
var codes = [...][numKinds]byte{
	V01: {
		Ready:         1,
		WorkerRequest: 2,
		WorkerFinal:   3,
		Heartbeat:     4,
		Disconnect:    5,
	},
	V02: {
		ClientRequest: 1,
		ClientPartial: 2,
		ClientFinal:   3,

		Ready:         1,
		WorkerRequest: 2,
		WorkerPartial: 3,
		WorkerFinal:   4,
		Heartbeat:     5,
		Disconnect:    6,
	},
}

// exists reports whether version v has the command k.
func exists(v Version, k Kind) bool {
	if v != V01 && v != V02 || k >= numKinds {
		return false
	}
	return codes[v][k] != 0 || v == V01 && (k == ClientRequest || k == ClientFinal)
}

// clientKind returns the command of MDP/0.2's client side that has the byte, or
// Invalid.
func clientKind(code byte) Kind {
	return kindOf(V02, code, ClientRequest, ClientFinal)
}

// workerKind returns the worker's command that has the byte, or Invalid.
func workerKind(v Version, code byte) Kind {
	return kindOf(v, code, Ready, Disconnect)
}

func kindOf(v Version, code byte, first, last Kind) Kind {
	if code == 0 {
		return Invalid
	}
	for k := first; k <= last; k++ {
		if codes[v][k] == code {
			return k
		}
	}
	return Invalid
}
