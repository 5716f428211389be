package mdp

import (
	"errors"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// MaxService is the largest length of a service name in bytes.
const MaxService = 255

var errNoService = errors.New("mdp: service name: empty")

// CheckService returns an error unless name can name a service: 1 to
// [MaxService] bytes of UTF-8 whose characters are printable, which among spaces
// only U+0020 is. The RFCs say "printable string" and no more. Names are compared
// byte for byte. Reserved names pass, see [Reserved]. The error doesn't hold the
// name, so it is safe to log.
func CheckService(name []byte) error {
	switch {
	case len(name) == 0:
		return errNoService
	case len(name) > MaxService:
		return errors.New("mdp: service name: " + strconv.Itoa(len(name)) + " bytes, at most " + strconv.Itoa(MaxService) + " are allowed")
	}
	for i := 0; i < len(name); {
		r, size := rune(name[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(name[i:])
		}
		if r == utf8.RuneError && size == 1 {
			return errors.New("mdp: service name: byte " + strconv.Itoa(i) + ": not UTF-8")
		}
		if !unicode.IsPrint(r) {
			return errors.New("mdp: service name: byte " + strconv.Itoa(i) + ": " + strconv.QuoteRuneToASCII(r) + " isn't printable")
		}
		i += size
	}
	return nil
}

// Reserved reports whether name begins with [MMIPrefix]: the broker itself answers
// for such a service, and no worker may offer it (RFC 8).
func Reserved(name []byte) bool {
	return len(name) >= len(MMIPrefix) && string(name[:len(MMIPrefix)]) == MMIPrefix
}
