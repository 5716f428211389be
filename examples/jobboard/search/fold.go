package search

import (
	"strings"
	"unicode"
)

// folded has, for Latin letters that aren't ASCII, what people type who don't
// have them on their keyboard.
var folded = func() map[rune]string {
	table := map[rune]string{}
	for plain, letters := range map[string]string{
		"a": "àáâãäåāăąǎ", "b": "ɓ", "c": "çćĉċč", "d": "ďđð", "e": "èéêëēĕėęě",
		"g": "ĝğġģ", "h": "ĥħ", "i": "ìíîïĩīĭįıǐ", "j": "ĵ", "k": "ķĸ", "l": "ĺļľŀł",
		"n": "ñńņňŉŋ", "o": "òóôõöøōŏőǒ", "r": "ŕŗř", "s": "śŝşšſș", "t": "ţťŧț",
		"u": "ùúûüũūŭůűųǔ", "w": "ŵ", "y": "ýÿŷ", "z": "źżž",
		"ae": "æ", "ij": "ĳ", "oe": "œ", "ss": "ß", "th": "þ",
	} {
		for _, r := range letters {
			table[r] = plain
		}
	}
	return table
}()

// fold writes r to b without case and diacritics. Combining marks vanish, so
// that both forms of "é" become "e".
func fold(b *strings.Builder, r rune) {
	r = unicode.ToLower(r)
	if r <= unicode.MaxASCII {
		b.WriteByte(byte(r))
	} else if plain, ok := folded[r]; ok {
		b.WriteString(plain)
	} else if !unicode.Is(unicode.Mn, r) {
		b.WriteRune(r)
	}
}
