package contract

import "time"

// appendTimestamp writes t by RFC 3339 with as many digits of its nanoseconds as
// it needs, in its own offset from UTC. An offset that isn't whole minutes, which
// local times before standard time have and RFC 3339 hasn't, makes it UTC.
func appendTimestamp(dst []byte, t time.Time) ([]byte, error) {
	if _, offset := t.Zone(); offset%60 != 0 || offset <= -24*60*60 || offset >= 24*60*60 {
		t = t.UTC()
	}
	if year := t.Year(); year < 0 || year > 9999 {
		return dst, errYear
	}
	return t.AppendFormat(dst, time.RFC3339Nano), nil
}

// parseTimestamp reads what isTimestamp accepts. Digits beyond nanoseconds are
// dropped.
func parseTimestamp(b []byte) (time.Time, error) {
	if !isTimestamp(b) {
		return time.Time{}, errTimestamp
	}
	var t time.Time
	if err := t.UnmarshalText(b); err != nil {
		return time.Time{}, errTimestamp
	}
	return t, nil
}

// isTimestamp reports whether b is a date-time by RFC 3339, section 5.6, in upper
// case and without a leap second, which a time.Time can't hold.
func isTimestamp(b []byte) bool {
	const layout = "2006-01-02T15:04:05"
	if len(b) < len(layout)+len("Z") ||
		b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return false
	}
	month, day := pair(b[5:]), pair(b[8:])
	century, year := pair(b), pair(b[2:])
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(century*100+year, month) {
		return false
	}
	if !within(b[11:], 23) || !within(b[14:], 59) || !within(b[17:], 59) {
		return false
	}
	b = b[len(layout):]
	if b[0] == '.' {
		n := skipDigits(b, 1)
		if n == 1 {
			return false
		}
		b = b[n:]
	}
	if len(b) == 1 {
		return b[0] == 'Z'
	}
	return len(b) == len("+00:00") && (b[0] == '+' || b[0] == '-') && b[3] == ':' &&
		within(b[1:], 23) && within(b[4:], 59)
}

// pair reads two digits, and returns -1 where they aren't.
func pair(b []byte) int {
	if !isDigit(b[0]) || !isDigit(b[1]) {
		return -1
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}

func within(b []byte, limit int) bool {
	n := pair(b)
	return n >= 0 && n <= limit
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
