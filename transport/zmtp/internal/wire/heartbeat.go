package wire

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"
)

// MaxContext is the largest context of a PING (RFC 37, Connection Heartbeating).
const MaxContext = 16

// MaxTTL is the largest time to live that a PING can say.
const MaxTTL = math.MaxUint16 * decisecond

const decisecond = 100 * time.Millisecond

// AppendPing appends the body of a PING command to dst and returns it (RFC 37,
// Connection Heartbeating). ttl tells the peer to end the connection if it hears
// nothing for so long; it is rounded up to tenths of a second, and at most
// [MaxTTL]; zero or less says nothing. context comes back with the PONG. AppendPing
// panics if it is larger than [MaxContext].
func AppendPing(dst []byte, ttl time.Duration, context []byte) []byte {
	checkContext(context)
	tenths := min(max(ttl, 0), MaxTTL)
	tenths = (tenths + decisecond - 1) / decisecond
	dst = AppendCommand(dst, Ping)
	dst = binary.BigEndian.AppendUint16(dst, uint16(tenths))
	return append(dst, context...)
}

// ParsePing reads the data of a PING command. ttl is zero if the peer didn't say
// one; context is a part of data and goes back with [AppendPong]. Data without a
// time to live, and a context larger than [MaxContext], are a [*ParseError].
func ParsePing(data []byte) (ttl time.Duration, context []byte, err error) {
	if len(data) < 2 {
		return 0, nil, &ParseError{Ping, "no time to live, which has 2 bytes"}
	}
	context, err = parseContext(Ping, data[2:])
	if err != nil {
		return 0, nil, err
	}
	return time.Duration(binary.BigEndian.Uint16(data)) * decisecond, context, nil
}

// AppendPong appends the body of a PONG command to dst and returns it. context is
// that of the PING; AppendPong panics if it is larger than [MaxContext].
func AppendPong(dst, context []byte) []byte {
	checkContext(context)
	return append(AppendCommand(dst, Pong), context...)
}

// ParsePong reads the data of a PONG command and returns the context, which is a
// part of it. A context larger than [MaxContext] is a [*ParseError].
func ParsePong(data []byte) ([]byte, error) { return parseContext(Pong, data) }

func parseContext(command string, b []byte) ([]byte, error) {
	if len(b) > MaxContext {
		return nil, &ParseError{command, "a context of " + strconv.Itoa(len(b)) + " bytes, at most " + strconv.Itoa(MaxContext) + " allowed"}
	}
	return slices.Clip(b), nil
}

func checkContext(context []byte) {
	if len(context) > MaxContext {
		panic("zmtp: PING: a context of " + strconv.Itoa(len(context)) + " bytes")
	}
}
