package mdp

import (
	"encoding/binary"
	"errors"
)

// NoDeadline in [Address.Remaining] says that the request has no deadline.
const NoDeadline = ^uint32(0)

// Address is the client address that a registered worker gets with a request:
// the broker's token for it, and what the broker vouches for. To a plain worker
// the token goes alone ([AppendToken]).
//
// In the frame it is a version byte 0x01, the token (8 bytes), the remaining time
// (4), the attempt (1) and the service (2), all big-endian, and then the caller.
type Address struct {
	// Token is what the broker knows the request by on this connection.
	Token uint64
	// Remaining is the time until the deadline in milliseconds as the broker
	// handed the request over, or NoDeadline.
	Remaining uint32
	// Attempt counts the times that the request was handed to a worker, this one
	// included.
	Attempt uint8
	// Service is the index of the service in the worker's registration.
	Service uint16
	// Caller is the authenticated name of the caller; empty if there is none.
	Caller []byte
}

const (
	addressVersion = 1
	addressHead    = 1 + 8 + 4 + 1 + 2 // what stands before the caller
	tokenDigits    = 16
)

var (
	errAddressLength  = errors.New("mdp: address: shorter than 16 bytes")
	errAddressVersion = errors.New("mdp: address: unknown version, want 0x01")
	errToken          = errors.New("mdp: address: not a token, want 16 lower-case hexadecimal digits")
	errAddressForm    = errors.New("mdp: address: neither 16 lower-case hexadecimal digits nor version 0x01 with at least 15 bytes more")
)

// AppendTo appends the address frame to dst and returns it.
func (a *Address) AppendTo(dst []byte) []byte {
	dst = append(dst, addressVersion)
	dst = binary.BigEndian.AppendUint64(dst, a.Token)
	dst = binary.BigEndian.AppendUint32(dst, a.Remaining)
	dst = append(dst, a.Attempt)
	dst = binary.BigEndian.AppendUint16(dst, a.Service)
	return append(dst, a.Caller...)
}

// ParseAddress reads an address frame that [Address.AppendTo] wrote. The caller
// is a part of b. A frame that is too short or of another version is an error.
func ParseAddress(b []byte) (Address, error) {
	if len(b) < addressHead {
		return Address{}, errAddressLength
	}
	if b[0] != addressVersion {
		return Address{}, errAddressVersion
	}
	return Address{
		Token:     binary.BigEndian.Uint64(b[1:]),
		Remaining: binary.BigEndian.Uint32(b[9:]),
		Attempt:   b[13],
		Service:   binary.BigEndian.Uint16(b[14:]),
		Caller:    b[addressHead:len(b):len(b)],
	}, nil
}

// AppendToken appends the address frame for a plain worker to dst and returns it:
// the token alone as 16 lower-case hexadecimal digits, because some workers treat
// the address as text.
func AppendToken(dst []byte, token uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[token>>shift&15])
	}
	return dst
}

// ParseToken reads an address frame that [AppendToken] wrote. Anything else is an
// error.
func ParseToken(b []byte) (uint64, error) {
	if len(b) != tokenDigits {
		return 0, errToken
	}
	var token uint64
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			token = token<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			token = token<<4 | uint64(c-'a'+10)
		default:
			return 0, errToken
		}
	}
	return token, nil
}

// AddressToken returns the token of an address frame of either form, as a broker
// gets it back with a reply. A frame that is of neither form is an error.
func AddressToken(b []byte) (uint64, error) {
	if len(b) >= addressHead && b[0] == addressVersion {
		return binary.BigEndian.Uint64(b[1:]), nil
	}
	token, err := ParseToken(b)
	if err != nil {
		return 0, errAddressForm
	}
	return token, nil
}
