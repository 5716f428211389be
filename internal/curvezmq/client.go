package curvezmq

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// Client is the client's end of one handshake. It is for one goroutine and one
// connection.
type Client struct {
	rand   io.Reader
	server Key     // S
	own    keyPair // C and c
	due    clientStep
	// Of this connection:
	transient keyPair    // C' and c'
	hello     *sharedKey // between C' and S
	session   *sharedKey // between C' and S'
}

type clientStep uint8

const (
	clientHello clientStep = iota
	clientWelcome
	clientReady
	clientDone // or failed
)

// NewClient returns a client that has the given keys and wants the server that has
// the key server. It reads 32 bytes from rand for the keys of this connection, and
// later 16 for the vouch. It fails if rand does, if the server's key is none, or if
// public and secret don't belong together.
func NewClient(server, public Key, secret SecretKey, rand io.Reader) (*Client, error) {
	own := keyPair{Public: public, Secret: secret}
	if err := own.Check(); err != nil {
		return nil, err
	}
	transient, err := newKeyPair(rand)
	if err != nil {
		return nil, err
	}
	hello, ok := agree(&transient.Secret, &server)
	if !ok {
		return nil, errors.New("curve: the server's public key is none that a secret key has; is it missing?")
	}
	return &Client{rand: rand, server: server, own: own, transient: transient, hello: hello}, nil
}

// Hello returns the body of HELLO (RFC 26, The HELLO Command), which the client
// sends first. It fails with [ErrOrder] when it is called again.
func (c *Client) Hello() ([]byte, error) {
	if err := c.step("HELLO", clientHello); err != nil {
		return nil, err
	}
	const number = 1
	var zeros [helloZeros]byte
	body := make([]byte, 0, helloSize)
	body = append(body, helloName...)
	body = append(body, 1, 0) // CurveZMQ 1.0
	body = append(body, make([]byte, helloClientAt-helloPaddingAt)...)
	body = append(body, c.transient.Public[:]...)
	body = binary.BigEndian.AppendUint64(body, number)
	body = c.hello.seal(body, zeros[:], shortNonceOf(helloPrefix, number))
	c.due = clientWelcome
	return body, nil
}

// Welcome reads the body of WELCOME and returns that of INITIATE, with the client's
// metadata encrypted in it (RFC 26, The WELCOME Command, The INITIATE Command). Now
// the client knows that the server has the secret key of the key that is wanted; it
// shows its own to nobody else.
//
// An ERROR in its place is a [*RefusedError], anything else a [*CommandError]. The
// client fails also if its randomness does.
func (c *Client) Welcome(body, metadata []byte) ([]byte, error) {
	if err := c.step("WELCOME", clientWelcome); err != nil {
		return nil, err
	}
	if err := c.expect(body, welcomeName); err != nil {
		return nil, err
	}
	if err := checkSize(body, welcomeName, welcomeSize); err != nil {
		return nil, err
	}
	content, ok := c.hello.open(body[welcomeBoxAt:], longNonceOf(welcomePrefix, body[welcomeNonceAt:welcomeBoxAt]))
	if !ok {
		return nil, &CommandError{"WELCOME", ErrBox, "has the server another key than the client was given?"}
	}
	server, cookie := Key(content[:KeySize]), content[KeySize:]
	session, ok := agree(&c.transient.Secret, &server)
	if !ok {
		return nil, &CommandError{"WELCOME", ErrKey, ""}
	}
	initiate, err := c.initiate(session, &server, cookie, metadata)
	if err != nil {
		return nil, err
	}
	c.session, c.due = session, clientReady
	return initiate, nil
}

// initiateNumber is the number of INITIATE; HELLO had the one before.
const initiateNumber = 2

// initiate makes the body of INITIATE. server is S'.
func (c *Client) initiate(session *sharedKey, server *Key, cookie, metadata []byte) ([]byte, error) {
	vouchKey, ok := agree(&c.own.Secret, server)
	if !ok {
		return nil, &CommandError{"WELCOME", ErrKey, ""}
	}
	vouchNonce, err := randomNonce(vouchPrefix, c.rand)
	if err != nil {
		return nil, err
	}
	vouched := slices.Concat(c.transient.Public[:], c.server[:])

	content := make([]byte, 0, KeySize+vouchSize+len(metadata))
	content = append(content, c.own.Public[:]...)
	content = append(content, vouchNonce[len(vouchPrefix):]...)
	content = vouchKey.seal(content, vouched, vouchNonce)
	content = append(content, metadata...)

	body := make([]byte, 0, initiateMin+len(metadata))
	body = append(body, initiateName...)
	body = append(body, cookie...)
	body = binary.BigEndian.AppendUint64(body, initiateNumber)
	return session.seal(body, content, shortNonceOf(initiatePrefix, initiateNumber)), nil
}

// Ready reads the body of READY (RFC 26, The READY Command) and returns the session
// and the server's metadata, which is not parsed. An ERROR in its place is a
// [*RefusedError], anything else a [*CommandError].
func (c *Client) Ready(body []byte) (*Session, []byte, error) {
	if err := c.step("READY", clientReady); err != nil {
		return nil, nil, err
	}
	if err := c.expect(body, readyName); err != nil {
		return nil, nil, err
	}
	if err := checkMin(body, readyName, readyMin); err != nil {
		return nil, nil, err
	}
	number := binary.BigEndian.Uint64(body[readyNonceAt:])
	metadata, ok := c.session.open(body[readyBoxAt:], shortNonceOf(readyPrefix, number))
	if !ok {
		return nil, nil, &CommandError{"READY", ErrBox, ""}
	}
	return newSession(c.session, clientPrefix, initiateNumber+1, serverPrefix, number), metadata, nil
}

// step takes the step that is due. Whoever took it says which one is next; if it
// fails before, none is.
func (c *Client) step(command string, want clientStep) error {
	if c.due != want {
		return &CommandError{command, ErrOrder, ""}
	}
	c.due = clientDone
	return nil
}

// expect refuses another command than that of the name, and tells an ERROR.
func (*Client) expect(body []byte, name string) error {
	if hasName(body, errorName) {
		return parseError(body)
	}
	return checkName(body, name)
}
