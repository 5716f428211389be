package mdp

// ParseBroker reads what a broker receives from a worker or a client:
// ClientRequest, Ready, WorkerPartial, WorkerFinal, Heartbeat or Disconnect. Any
// error is a [*ParseError].
func ParseBroker(msg [][]byte) (c Command, err error) {
	err = broker.parse(&c, msg)
	return c, err
}

// ParseWorker reads what a worker receives from a broker: WorkerRequest,
// Heartbeat or Disconnect, and also ClientPartial or ClientFinal, since a worker
// may ask the broker's MMI services on the connection that it serves on. Any
// error is a [*ParseError].
func ParseWorker(msg [][]byte) (c Command, err error) {
	err = worker.parse(&c, msg)
	return c, err
}

// ParseClient reads what a client receives from a broker: ClientPartial or
// ClientFinal. Any error is a [*ParseError].
func ParseClient(msg [][]byte) (c Command, err error) {
	err = client.parse(&c, msg)
	return c, err
}

// receiver is the end that a message arrived at: its name, and the set of kinds
// that it takes, with bit 1<<k for the kind k.
type receiver struct {
	name  string
	takes uint16
}

var (
	broker = receiver{"broker", 1<<ClientRequest | 1<<Ready | 1<<WorkerPartial | 1<<WorkerFinal | 1<<Heartbeat | 1<<Disconnect}
	worker = receiver{"worker", 1<<WorkerRequest | 1<<Heartbeat | 1<<Disconnect | 1<<ClientPartial | 1<<ClientFinal}
	client = receiver{"client", 1<<ClientPartial | 1<<ClientFinal}
)

func (r receiver) has(k Kind) bool { return r.takes&(1<<k) != 0 }

// parse reads msg into c, which is zero before and stays so on an error. It follows
// the tables of RFC 7 and RFC 18 frame by frame. What is wrong with a message is
// worked out apart from it (diagnose.go), to keep this path short; and it fills c
// in place, because to copy a Command costs more than to parse one.
func (r receiver) parse(c *Command, msg [][]byte) error {
	head, at := findHeader(msg)
	if head == noHeader {
		return foreign(msg)
	}
	v := head.version()
	if v == V01 && at > 1 && (head != headClient01 || !r.has(ClientRequest)) {
		return &ParseError{0, "not empty: only a client's request may have frames before the empty one"}
	}

	var k Kind
	next := at + 1
	switch {
	case head == headClient01 && r.has(ClientRequest):
		k = ClientRequest // RFC 7: no command byte, the direction says which
	case head == headClient01:
		k = ClientFinal
	case head.isWorker() && !r.has(Heartbeat):
		return &ParseError{at, "header " + string(msg[at]) + " is a worker's, and this is a client"}
	default:
		if next < len(msg) && len(msg[next]) == 1 {
			k = head.command(msg[next][0])
		}
		if !r.has(k) {
			return r.badCommand(head, msg, next)
		}
		next++
	}

	switch k {
	case ClientRequest, ClientPartial, ClientFinal:
		if len(msg) < next+2 {
			return incomplete(v, k, msg, next)
		}
		if v == V01 && at > 1 {
			c.Envelope = msg[: at-1 : at-1]
		}
		c.Service = msg[next]
		c.Body = msg[next+1 : len(msg) : len(msg)]
	case Ready:
		if len(msg) < next+1 {
			return incomplete(v, k, msg, next)
		}
		if len(msg) > next+1 {
			return superfluous(v, k, next+1)
		}
		c.Service = msg[next]
	case WorkerRequest, WorkerPartial, WorkerFinal:
		if len(msg) < next+3 || len(msg[next]) == 0 || len(msg[next+1]) != 0 {
			return badAddress(v, k, msg, next)
		}
		c.Address = msg[next]
		c.Body = msg[next+2 : len(msg) : len(msg)]
	case Heartbeat, Disconnect:
		if len(msg) > next {
			return superfluous(v, k, next)
		}
	}
	c.Version, c.Kind = v, k
	return nil
}

// header is the frame that names version and sub-protocol.
type header uint8

const (
	noHeader header = iota
	headClient01
	headWorker01
	headClient02
	headWorker02
)

func (h header) version() Version {
	if h >= headClient02 {
		return V02
	}
	return V01
}

func (h header) isWorker() bool { return h == headWorker01 || h == headWorker02 }

// command returns the kind that the byte stands for behind this header, or
// Invalid.
func (h header) command(code byte) Kind {
	if h.isWorker() {
		return workerKind(h.version(), code)
	}
	return clientKind(code)
}

// findHeader returns the header of a message and its index. A message of MDP/0.2
// begins with it; in MDP/0.1 it follows the first empty frame, which is frame 0
// unless a REQ socket with REQ_CORRELATE put its request id before it.
func findHeader(msg [][]byte) (h header, at int) {
	if len(msg) == 0 {
		return noHeader, 0
	}
	switch string(msg[0]) {
	case "MDPC02":
		return headClient02, 0
	case "MDPW02":
		return headWorker02, 0
	}
	delimiter := firstEmpty(msg)
	if delimiter < 0 || delimiter+1 == len(msg) {
		return noHeader, 0
	}
	switch string(msg[delimiter+1]) {
	case "MDPC01":
		return headClient01, delimiter + 1
	case "MDPW01":
		return headWorker01, delimiter + 1
	}
	return noHeader, 0
}

// firstEmpty returns the index of the first empty frame, or -1 if there is none
// behind at most MaxEnvelope others.
func firstEmpty(msg [][]byte) int {
	for i, frame := range msg {
		if len(frame) == 0 {
			return i
		}
		if i == MaxEnvelope {
			break
		}
	}
	return -1
}
