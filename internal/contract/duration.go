package contract

import (
	"math"
	"strconv"
	"time"
)

// appendDuration writes d as ISO 8601 has it, in hours, minutes and seconds,
// which are of one length always: "PT1H2M3.5S". Zero is "PT0S", and a minus sign
// stands in front (ISO 8601-2, 4.4.1.9). Every Duration has exactly one text.
func appendDuration(dst []byte, d time.Duration) []byte {
	if d == 0 {
		return append(dst, "PT0S"...)
	}
	left := uint64(d)
	if d < 0 {
		dst = append(dst, '-')
		left = -left // of the least Duration too, which has no positive one
	}
	dst = append(dst, "PT"...)
	if hours := left / uint64(time.Hour); hours > 0 {
		dst = append(strconv.AppendUint(dst, hours, 10), 'H')
		left %= uint64(time.Hour)
	}
	if minutes := left / uint64(time.Minute); minutes > 0 {
		dst = append(strconv.AppendUint(dst, minutes, 10), 'M')
		left %= uint64(time.Minute)
	}
	if left == 0 {
		return dst
	}
	dst = strconv.AppendUint(dst, left/uint64(time.Second), 10)
	if nanos := left % uint64(time.Second); nanos > 0 {
		// The leading 1 keeps the zeros in front; the point takes its place.
		point := len(dst)
		dst = strconv.AppendUint(dst, uint64(time.Second)+nanos, 10)
		dst[point] = '.'
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, 'S')
}

// parseDuration reads what appendDuration writes, and also units in any number
// ("PT90M"). It takes no years, months, weeks or days, which aren't always of one
// length, and fails with strconv.ErrRange where a Duration can't hold the sum.
func parseDuration(b []byte) (time.Duration, error) {
	if !isClockDuration(b) {
		return 0, errDuration
	}
	limit := uint64(math.MaxInt64)
	negative := b[0] == '-'
	if negative {
		limit++
		b = b[1:]
	}
	var sum uint64
	for b = b[len("PT"):]; len(b) > 0; {
		n := skipDigits(b, 0)
		count, ok := parseUint(b[:n])
		unit := time.Second
		var nanos uint64
		switch b[n] {
		case 'H':
			unit = time.Hour
		case 'M':
			unit = time.Minute
		case '.':
			scale := uint64(time.Second) / 10
			for n++; b[n] != 'S'; n++ {
				nanos += uint64(b[n]-'0') * scale
				scale /= 10
			}
		}
		if !ok || count > (limit-sum)/uint64(unit) {
			return 0, strconv.ErrRange
		}
		sum += count * uint64(unit)
		if nanos > limit-sum {
			return 0, strconv.ErrRange
		}
		sum += nanos
		b = b[n+1:]
	}
	if negative {
		return time.Duration(-sum), nil
	}
	return time.Duration(sum), nil
}

// parseUint reads digits, and reports whether 64 bits hold them.
func parseUint(digits []byte) (uint64, bool) {
	var n uint64
	for _, c := range digits {
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// isClockDuration reports whether b matches patternDuration and has a number, as
// the format duration wants it to.
func isClockDuration(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) < len("PT0S") || b[0] != 'P' || b[1] != 'T' {
		return false
	}
	b = b[len("PT"):]
	last := 0 // the largest unit's rank that was seen, in falling order
	for len(b) > 0 {
		n := skipDigits(b, 0)
		if n == 0 || n == len(b) {
			return false
		}
		rank := 0
		switch b[n] {
		case 'H':
			rank = 1
		case 'M':
			rank = 2
		case 'S':
			rank = 3
		case '.':
			fraction := n + 1
			n = skipDigits(b, fraction)
			if n == fraction || n > fraction+9 || n == len(b) || b[n] != 'S' {
				return false
			}
			rank = 3
		}
		if rank <= last {
			return false
		}
		last = rank
		b = b[n+1:]
	}
	return true
}

// isCalendarDuration reports whether b is a duration by RFC 3339, appendix A,
// which has years, months, weeks and days but no fractions.
func isCalendarDuration(b []byte) bool {
	if len(b) < len("P0D") || b[0] != 'P' {
		return false
	}
	b = b[1:]
	units := "YMD"
	for clock := false; len(b) > 0; {
		if b[0] == 'T' && !clock && len(b) > 1 {
			clock, units = true, "HMS"
			b = b[1:]
		}
		n := skipDigits(b, 0)
		if n == 0 || n == len(b) {
			return false
		}
		if b[n] == 'W' {
			return !clock && units == "YMD" && n+1 == len(b)
		}
		i := 0
		for i < len(units) && units[i] != b[n] {
			i++
		}
		if i == len(units) {
			return false
		}
		units = units[i+1:]
		b = b[n+1:]
	}
	return true
}
