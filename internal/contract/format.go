package contract

// format is a value of the keyword "format" that is asserted.
type format struct {
	// text and number report whether a string or a number is of the format. One
	// that is nil has nothing against any.
	text    func(b []byte) bool
	number  func(number []byte) bool
	message string
}

// formatOf returns a format by its name: one of this package's own, else one of
// the library's. Own ones stand where the written forms need it, where JSON
// Schema says nothing, and where speed counts.
func formatOf(name string) (*format, bool) {
	switch name {
	case "date-time":
		return &format{text: isTimestamp, message: string(errTimestamp)}, true
	case "duration":
		return &format{text: isDuration, message: "must be a duration such as PT1H30M (ISO 8601)"}, true
	case "uuid":
		return &format{text: isUUID, message: "must be a UUID (RFC 9562)"}, true
	}
	if numericFormat(name) {
		return numberFormat(name), true
	}
	return libraryFormat(name)
}

// numericFormat reports whether name is that of a Go number's range. On a number
// it also says how that is written, on a string it says so of the number in it.
func numericFormat(name string) bool {
	switch name {
	case "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double":
		return true
	}
	return false
}

func numberFormat(name string) *format {
	var accepts func([]byte) bool
	var message string
	switch name {
	case "float":
		accepts, message = func(b []byte) bool { return finite(b, 32) }, "must be within the range of a 32-bit float"
	case "double":
		accepts, message = func(b []byte) bool { return finite(b, 64) }, "must be within the range of a 64-bit float"
	default:
		low, high := integerRange(name)
		accepts = func(b []byte) bool { return integerWithin(b, low, high) }
		message = "must be an integer from " + low + " to " + high + ", without fraction or exponent"
	}
	return &format{
		number:  accepts,
		text:    func(b []byte) bool { return isNumber(b) && accepts(b) },
		message: message,
	}
}

func integerRange(name string) (low, high string) {
	switch name {
	case "int8":
		return "-128", "127"
	case "int16":
		return "-32768", "32767"
	case "int32":
		return "-2147483648", "2147483647"
	case "int64":
		return "-9223372036854775808", "9223372036854775807"
	case "uint8":
		return "0", "255"
	case "uint16":
		return "0", "65535"
	case "uint32":
		return "0", "4294967295"
	}
	return "0", "18446744073709551615"
}

// integerWithin reports whether a JSON number has neither fraction nor exponent
// and is from low to high. "-0" is no unsigned number.
func integerWithin(number []byte, low, high string) bool {
	if n := scanNumber(number, 0); n.fraction || n.exponent || number[0] == '-' && low == "0" {
		return false
	}
	at := parseDecimal(number)
	return at.compare(parseDecimal([]byte(low))) >= 0 && at.compare(parseDecimal([]byte(high))) <= 0
}

// isDuration takes the durations of RFC 3339, appendix A, which JSON Schema means
// by the format, and those that a time.Duration is written as, which have a sign
// and a fraction of a second as ISO 8601 has them.
func isDuration(b []byte) bool {
	return isClockDuration(b) || isCalendarDuration(b)
}

func isUUID(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	for i, c := range b {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
	}
	return true
}

// base64Alphabet marks the characters of RFC 4648, section 4, but the padding.
var base64Alphabet = func() (set [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		set[c] = true
	}
	return set
}()

// isBase64 reports whether b is base64 with padding and without line breaks.
func isBase64(b []byte) bool {
	if len(b)%4 != 0 {
		return false
	}
	const padding = '='
	if n := len(b); n > 0 && b[n-1] == padding {
		if b = b[:n-1]; b[n-2] == padding {
			b = b[:n-2]
		}
	}
	for _, c := range b {
		if !base64Alphabet[c] {
			return false
		}
	}
	return true
}

// knownPattern returns a hand-written test for a pattern that the written forms
// use beside a format, and what to say where it fails.
func knownPattern(pattern, format string) (func([]byte) bool, string) {
	switch pattern {
	case patternInteger:
		return isInteger, string(errInteger)
	case patternUnsigned:
		return isUnsigned, string(errUnsigned)
	case patternRatio:
		return isRatio, string(errRatio)
	case patternNumber:
		return isNumber, string(errNumber)
	case patternDuration:
		if format != "duration" {
			break
		}
		return isClockDuration, string(errDuration)
	}
	return nil, ""
}

func isUnsigned(b []byte) bool {
	return len(b) > 0 && skipDigits(b, 0) == len(b) && (b[0] != '0' || len(b) == 1)
}

func isInteger(b []byte) bool {
	if len(b) > 1 && b[0] == '-' && b[1] != '0' {
		b = b[1:]
	}
	return isUnsigned(b)
}

func isRatio(b []byte) bool {
	for i, c := range b {
		if c == '/' {
			above, below := b[:i], b[i+1:]
			return isInteger(above) && above[0] != '0' && isUnsigned(below) && below[0] != '0'
		}
	}
	return isInteger(b)
}
