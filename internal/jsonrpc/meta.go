package jsonrpc

// metaMembers is a set of the members of meta that this package knows.
type metaMembers uint8

const (
	metaTimeout metaMembers = 1 << iota
	metaKey
	metaAttempt
	metaWindow
	metaTraceParent
	metaTraceState
	metaCaller

	metaFree metaMembers = 0 // any other: a free string
)

// metaMember returns the member of meta of that name.
func metaMember(name []byte) metaMembers {
	switch string(name) {
	case "timeout_ms":
		return metaTimeout
	case "key":
		return metaKey
	case "attempt":
		return metaAttempt
	case "window":
		return metaWindow
	case "traceparent":
		return metaTraceParent
	case "tracestate":
		return metaTraceState
	case "caller":
		return metaCaller
	default:
		return metaFree
	}
}

// read reads the value of meta at i and returns where it ends.
func (m *Meta) read(b []byte, i int) (end int, reason string) {
	if b[i] != '{' {
		return 0, reasonMeta
	}
	start := i
	i, done, reason := openObject(b, i)
	var seen metaMembers
	for !done && reason == "" {
		var name []byte
		if name, i, reason = readName(b, i); reason != "" {
			return 0, reason
		}
		member := metaMember(name)
		if seen&member != 0 {
			return 0, reasonMetaDuplicate
		}
		seen |= member
		if i, reason = m.readMember(member, b, i); reason != "" {
			return 0, reason
		}
		i, done, reason = nextMember(b, i)
	}
	if reason != "" {
		return 0, reason
	}
	m.Present = true
	m.Raw = b[start:i:i]
	return i, ""
}

// readMember reads the value of member at i and returns where it ends.
func (m *Meta) readMember(member metaMembers, b []byte, i int) (end int, reason string) {
	switch member {
	case metaTimeout:
		m.TimeoutMS, end, reason = readCount(b, i, MaxTimeoutMS, reasonTimeout)
	case metaKey:
		m.Key, end, reason = readString(b, i, reasonKey)
	case metaAttempt:
		var n int64
		n, end, reason = readCount(b, i, MaxCount, reasonAttempt)
		m.Attempt = int(n)
	case metaWindow:
		var n int64
		n, end, reason = readCount(b, i, MaxCount, reasonWindow)
		m.Window = int(n)
	case metaTraceParent:
		m.TraceParent, end, reason = readString(b, i, reasonTraceParent)
	case metaTraceState:
		m.TraceState, end, reason = readString(b, i, reasonTraceState)
	case metaCaller:
		m.Caller, end, reason = readString(b, i, reasonCaller)
	default:
		return skipValue(b, i, 2)
	}
	return end, reason
}

// Strings returns the free strings of meta: the members that this package
// doesn't know and whose values are strings. Of two with one name the last
// counts. It is nil where there are none. The map and what it holds are copies.
func (m *Meta) Strings() map[string]string {
	if len(m.Raw) == 0 || m.Raw[0] != '{' {
		return nil
	}
	var strings map[string]string
	i, done, reason := openObject(m.Raw, 0)
	for !done && reason == "" {
		var name []byte
		if name, i, reason = readName(m.Raw, i); reason != "" {
			break
		}
		var value []byte
		if value, i, reason = readRaw(m.Raw, i); reason != "" {
			break
		}
		if value[0] == '"' && metaMember(name) == metaFree {
			if strings == nil {
				strings = make(map[string]string)
			}
			decoded, _ := unescape(value[1 : len(value)-1])
			strings[string(name)] = string(decoded)
		}
		i, done, reason = nextMember(m.Raw, i)
	}
	return strings
}
