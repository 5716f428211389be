package curve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The alphabet of Z85 (RFC 32, Formal Specification).
const z85Alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

// Z85 turns groups of binBytes bytes into groups of textChars characters.
const (
	binBytes  = 4
	textChars = 5
	base      = uint64(len(z85Alphabet))
)

// z85Values has for each character its value plus one, and 0 for those that aren't
// of the alphabet.
var z85Values = func() (values [256]byte) {
	for i := range len(z85Alphabet) {
		values[z85Alphabet[i]] = byte(i) + 1
	}
	return values
}()

// EncodeZ85 returns b as text of Z85 (RFC 32). It fails if the size of b isn't a
// multiple of 4.
func EncodeZ85(b []byte) (string, error) {
	if len(b)%binBytes != 0 {
		return "", fmt.Errorf("curve: Z85: %d bytes, which is not a multiple of %d", len(b), binBytes)
	}
	return string(appendZ85(nil, b)), nil
}

// appendZ85 appends the text of b, whose size is a multiple of 4.
func appendZ85(dst, b []byte) []byte {
	for ; len(b) > 0; b = b[binBytes:] {
		value := uint64(binary.BigEndian.Uint32(b))
		var group [textChars]byte
		for i := textChars - 1; i >= 0; i-- {
			group[i] = z85Alphabet[value%base]
			value /= base
		}
		dst = append(dst, group[:]...)
	}
	return dst
}

// DecodeZ85 returns the bytes of a text of Z85 (RFC 32). It fails if the length
// isn't a multiple of 5, a character isn't of the alphabet, or five of them say
// more than 32 bits hold. The error says where, and shows nothing of the text.
func DecodeZ85(text string) ([]byte, error) {
	b, err := decodeZ85(text)
	if err != nil {
		return nil, fmt.Errorf("curve: Z85: %w", err)
	}
	return b, nil
}

func decodeZ85(text string) ([]byte, error) {
	if len(text)%textChars != 0 {
		return nil, fmt.Errorf("%d characters, which is not a multiple of %d", len(text), textChars)
	}
	b := make([]byte, 0, len(text)/textChars*binBytes)
	for at := 0; at < len(text); at += textChars {
		var value uint64
		for i := range textChars {
			v := z85Values[text[at+i]]
			if v == 0 {
				return nil, fmt.Errorf("character %d is not of Z85", at+i+1)
			}
			value = value*base + uint64(v-1)
		}
		if value > math.MaxUint32 {
			return nil, fmt.Errorf("characters %d to %d are more than 32 bits hold", at+1, at+textChars)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(value))
	}
	return b, nil
}

// decodeKey reads the text of a key.
func decodeKey(text string) (key [KeySize]byte, err error) {
	if len(text) != KeyTextSize {
		return key, fmt.Errorf("%d characters, want %d", len(text), KeyTextSize)
	}
	b, err := decodeZ85(text)
	if err != nil {
		return key, err
	}
	copy(key[:], b)
	if key == [KeySize]byte{} {
		return key, errors.New("all zero, which is no key")
	}
	return key, nil
}
