package curve

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// zplLine is one property of a text of ZPL (RFC 4).
type zplLine struct {
	number int // of the line, from 1
	level  int // of indentation
	name   string
	value  string
	quoted bool
}

const zplIndent = "    "

// parseZPL reads a text of ZPL with CZMQ's additions: a line may not go in by more
// than one level, and a quote that begins has to end.
func parseZPL(text string) ([]zplLine, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	var lines []zplLine
	for number, line := range strings.Split(text, "\n") {
		l := zplLine{number: number + 1}
		line = strings.TrimRight(line, " \t")
		rest := strings.TrimLeft(line, " ")
		if rest == "" || rest[0] == '#' {
			continue
		}
		indent := len(line) - len(rest)
		l.level = indent / len(zplIndent)
		above := 0
		if len(lines) > 0 {
			above = lines[len(lines)-1].level + 1
		}
		if indent%len(zplIndent) != 0 || l.level > above {
			return nil, &CertificateError{l.number, "indentation is by 4 spaces a level"}
		}
		if reason := l.read(rest); reason != "" {
			return nil, &CertificateError{l.number, reason}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// read takes name and value from a line without its indentation. It returns what is
// wrong, or nothing.
func (l *zplLine) read(line string) string {
	end := strings.IndexFunc(line, func(r rune) bool { return !zplNameChar(r) })
	if end < 0 {
		end = len(line)
	}
	l.name = line[:end]
	if !zplName(l.name) {
		return "no name"
	}
	rest := strings.TrimLeft(line[end:], " \t")
	if rest == "" || rest[0] == '#' {
		return ""
	}
	if rest[0] != '=' {
		return "= or nothing follows a name"
	}
	rest = strings.TrimLeft(rest[1:], " \t")
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		value, after, ok := strings.Cut(rest[1:], rest[:1])
		if !ok {
			return "a quote that doesn't end"
		}
		if after = strings.TrimLeft(after, " \t"); after != "" && after[0] != '#' {
			return "something follows the value's closing quote"
		}
		l.value, l.quoted = value, true
	} else {
		value, _, _ := strings.Cut(rest, "#")
		l.value = strings.TrimRight(value, " \t")
	}
	return ""
}

// appendZPL appends one property with a value in quotes.
func appendZPL(dst []byte, level int, name string, quote byte, value string) []byte {
	for range level {
		dst = append(dst, zplIndent...)
	}
	dst = append(dst, name...)
	dst = append(dst, " = "...)
	dst = append(dst, quote)
	dst = append(dst, value...)
	return append(dst, quote, '\n')
}

func zplName(name string) bool {
	return name != "" && name[0] != '/' && name[len(name)-1] != '/' &&
		strings.IndexFunc(name, func(r rune) bool { return !zplNameChar(r) }) < 0
}

func zplNameChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("$-_@.&+/", r)
}

// zplQuote returns the quotes that a value can stand in. ZPL can't escape them.
func zplQuote(value string) (byte, bool) {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return 0, false
	}
	switch {
	case !strings.Contains(value, `"`):
		return '"', true
	case !strings.Contains(value, "'"):
		return '\'', true
	}
	return 0, false
}
