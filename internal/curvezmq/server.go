package curvezmq

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
)

// Server is the server's end of one handshake. It is for one goroutine and one
// connection.
//
// Between WELCOME and INITIATE it keeps the client's key of the connection and the
// key of the cookie, and not its own secret key of the connection, which is in the
// cookie alone (RFC 26, The HELLO Command).
type Server struct {
	rand io.Reader
	own  keyPair // S and s
	due  serverStep
	// Of this connection:
	client    Key    // C'
	number    uint64 // of the client's last command
	cookieKey sharedKey
	session   *sharedKey // between C' and S'
}

type serverStep uint8

const (
	serverHello serverStep = iota
	serverInitiate
	serverReady // or an ERROR
	serverDone  // or failed
)

// NewServer returns a server that has the given keys. In Hello it reads 96 bytes
// from rand. It fails if public and secret don't belong together.
func NewServer(public Key, secret SecretKey, rand io.Reader) (*Server, error) {
	own := keyPair{Public: public, Secret: secret}
	if err := own.Check(); err != nil {
		return nil, err
	}
	return &Server{rand: rand, own: own}, nil
}

// Hello reads the body of HELLO and returns that of WELCOME (RFC 26, The HELLO
// Command, The WELCOME Command). What isn't a valid HELLO for this server's key is
// a [*CommandError]. The server fails also if its randomness does.
func (s *Server) Hello(body []byte) ([]byte, error) {
	if err := s.step("HELLO", serverHello); err != nil {
		return nil, err
	}
	if err := checkHello(body); err != nil {
		return nil, err
	}
	s.client = Key(body[helloClientAt:])
	s.number = binary.BigEndian.Uint64(body[helloNonceAt:])
	key, ok := agree(&s.own.Secret, &s.client)
	if !ok {
		return nil, &CommandError{"HELLO", ErrKey, ""}
	}
	zeros, ok := key.open(body[helloBoxAt:], shortNonceOf(helloPrefix, s.number))
	if !ok {
		return nil, &CommandError{"HELLO", ErrBox, "does the client have another key for this server?"}
	}
	if !isZero(zeros) {
		return nil, &CommandError{"HELLO", ErrMalformed, "the signature is not all zero"}
	}
	welcome, err := s.welcome(key)
	if err != nil {
		return nil, err
	}
	s.due = serverInitiate
	return welcome, nil
}

// checkHello checks what can be checked without keys.
func checkHello(body []byte) error {
	if err := checkName(body, helloName); err != nil {
		return err
	}
	if err := checkSize(body, helloName, helloSize); err != nil {
		return err
	}
	if major, minor := body[helloVersionAt], body[helloVersionAt+1]; major != 1 || minor != 0 {
		return &CommandError{"HELLO", ErrVersion, strconv.Itoa(int(major)) + "." + strconv.Itoa(int(minor)) + ", want 1.0"}
	}
	if !isZero(body[helloPaddingAt:helloClientAt]) {
		return &CommandError{"HELLO", ErrMalformed, "the padding is not all zero"}
	}
	return nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// welcome makes the body of WELCOME; key is between S and C'.
func (s *Server) welcome(key *sharedKey) ([]byte, error) {
	transient, err := newKeyPair(s.rand)
	if err != nil {
		return nil, err
	}
	if err := random(s.rand, s.cookieKey[:]); err != nil {
		return nil, err
	}
	cookieNonce, err := randomNonce(cookiePrefix, s.rand)
	if err != nil {
		return nil, err
	}
	welcomeNonce, err := randomNonce(welcomePrefix, s.rand)
	if err != nil {
		return nil, err
	}
	kept := slices.Concat(s.client[:], transient.Secret[:])

	content := make([]byte, 0, KeySize+cookieSize)
	content = append(content, transient.Public[:]...)
	content = append(content, cookieNonce[len(cookiePrefix):]...)
	content = s.cookieKey.seal(content, kept, cookieNonce)

	body := make([]byte, 0, welcomeSize)
	body = append(body, welcomeName...)
	body = append(body, welcomeNonce[len(welcomePrefix):]...)
	return key.seal(body, content, welcomeNonce), nil
}

// Initiate reads the body of INITIATE (RFC 26, The INITIATE Command) and returns
// the client's public key, of which it now is certain that the client has the
// secret one, and the client's metadata, which is not parsed. Whether this key is
// allowed is for the caller to say, with Ready or Refuse. What isn't a valid
// INITIATE of this connection is a [*CommandError].
func (s *Server) Initiate(body []byte) (client Key, metadata []byte, err error) {
	if err := s.step("INITIATE", serverInitiate); err != nil {
		return Key{}, nil, err
	}
	// One try, and the cookie's key is gone.
	cookieKey := s.cookieKey
	s.cookieKey = sharedKey{}
	if err := checkName(body, initiateName); err != nil {
		return Key{}, nil, err
	}
	if err := checkMin(body, initiateName, initiateMin); err != nil {
		return Key{}, nil, err
	}
	number := binary.BigEndian.Uint64(body[initiateNonceAt:])
	if number <= s.number {
		return Key{}, nil, &CommandError{"INITIATE", ErrReplay, ""}
	}
	transient, err := s.openCookie(&cookieKey, body[initiateCookieAt:initiateNonceAt])
	if err != nil {
		return Key{}, nil, err
	}
	session, ok := agree(&transient, &s.client)
	if !ok {
		return Key{}, nil, &CommandError{"INITIATE", ErrKey, ""}
	}
	content, ok := session.open(body[initiateBoxAt:], shortNonceOf(initiatePrefix, number))
	if !ok {
		return Key{}, nil, &CommandError{"INITIATE", ErrBox, ""}
	}
	client = Key(content[:KeySize])
	if err := s.checkVouch(&transient, &client, content[KeySize:KeySize+vouchSize]); err != nil {
		return Key{}, nil, err
	}
	s.session, s.number, s.due = session, number, serverReady
	return client, content[KeySize+vouchSize:], nil
}

// openCookie returns the server's secret key of this connection, which it put into
// the cookie.
func (s *Server) openCookie(key *sharedKey, cookie []byte) (SecretKey, error) {
	content, ok := key.open(cookie[longNonce:], longNonceOf(cookiePrefix, cookie[:longNonce]))
	if !ok || !bytes.Equal(content[:KeySize], s.client[:]) {
		return SecretKey{}, &CommandError{"INITIATE", ErrBox, "the cookie is not of this connection"}
	}
	return SecretKey(content[KeySize:]), nil
}

// checkVouch checks that the client has the secret key of the one that it shows: it
// signed with it, for S' alone, that C' is its own and that S is whom it means.
func (s *Server) checkVouch(transient *SecretKey, client *Key, vouch []byte) error {
	key, ok := agree(transient, client)
	if !ok {
		return &CommandError{"INITIATE", ErrKey, ""}
	}
	content, ok := key.open(vouch[longNonce:], longNonceOf(vouchPrefix, vouch[:longNonce]))
	if !ok {
		return &CommandError{"INITIATE", ErrBox, "the vouch is not by the key that the client shows"}
	}
	if !bytes.Equal(content, slices.Concat(s.client[:], s.own.Public[:])) {
		return &CommandError{"INITIATE", ErrVouch, ""}
	}
	return nil
}

// Ready lets the client in: it returns the session and the body of READY, with the
// server's metadata encrypted in it (RFC 26, The READY Command). It fails with
// [ErrOrder] unless a valid INITIATE came just before.
func (s *Server) Ready(metadata []byte) (*Session, []byte, error) {
	if err := s.step("READY", serverReady); err != nil {
		return nil, nil, err
	}
	const number = 1
	body := make([]byte, 0, readyMin+len(metadata))
	body = append(body, readyName...)
	body = binary.BigEndian.AppendUint64(body, number)
	body = s.session.seal(body, metadata, shortNonceOf(readyPrefix, number))
	return newSession(s.session, serverPrefix, number+1, clientPrefix, s.number), body, nil
}

// Refuse returns the body of an ERROR (RFC 26, The ERROR Command) for a client that
// isn't let in, and ends the handshake; then the connection is to be closed. libzmq
// knows the reason "400" as a key that isn't allowed, and "500" as a failure of the
// server (RFC 27); other reasons it passes over. A reason of more than 255 bytes is
// cut, and what isn't printable ASCII becomes "?".
func (s *Server) Refuse(reason string) []byte {
	s.due, s.session, s.cookieKey = serverDone, nil, sharedKey{}
	reason = printable(reason[:min(len(reason), maxReason)])
	body := append([]byte(errorName), byte(len(reason)))
	return append(body, reason...)
}

// step takes the step that is due. Whoever took it says which one is next; if it
// fails before, none is.
func (s *Server) step(command string, want serverStep) error {
	if s.due != want {
		return &CommandError{command, ErrOrder, ""}
	}
	s.due = serverDone
	return nil
}
