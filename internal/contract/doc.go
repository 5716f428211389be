// Package contract says what the parameters and the result of a method look
// like, and holds requests to it.
//
// A [Contract] is compiled once, from a Go type ([For]) or from a JSON Schema
// document ([FromSchema]). It gives the schema to others, checks raw JSON
// against it ([Contract.Check]), fills in absent members that have a default
// ([Contract.Fill]) and decodes ([Contract.Decode]).
//
// # From type to schema to checker
//
// A Go type becomes a schema (derive.go, by the rules for struct fields in
// fields.go, tags.go and forms.go), and a schema becomes a tree of rules
// (compile.go) that runs over the bytes of a document (check.go). As the rules
// come from the schema and from nothing else, the checker asks for what the
// document that peers see asks for. A schema that the rules can't express goes
// to a JSON Schema library (library.go), which is also the oracle that the
// checker is fuzzed against.
//
// # Written forms
//
// JSON has no time, duration, bytes or big numbers. Each has one written form
// here, in the schema (forms.go) and in the [JSON] codec (codec.go) alike:
//
//	time.Time        "2026-01-02T15:04:05.999999999+02:00", RFC 3339, nanoseconds
//	time.Duration    "PT1H2M3.5S", "-PT0.000000001S", ISO 8601 in hours, minutes and seconds
//	[]byte, [N]byte  base64 with padding, RFC 4648 section 4
//	big.Int          "-123", decimal digits, at most 4096 characters
//	big.Rat          "-1/3" or "2", lowest terms, at most 4096 characters
//	text             the string of a type with MarshalText and UnmarshalText
//	int64, uint64    a JSON number, exact; `json:",string"` for peers that hold 53 bits only
//	float32, float64 a JSON number; NaN and infinities are errors
//
// big.Float has none, as its decimal text doesn't bring its precision back, and
// neither has json.Number.
//
// # What only decoding shows
//
// A schema can't say everything of a type: a duration beyond what 64 bits of
// nanoseconds hold, a text that only its type can judge, and a number that any has
// no room for pass the check, and are found as they are decoded ([DecodeFaults]),
// one at a time.
//
// # Limits
//
// A document may be nested [MaxDepth] levels deep. A check reports at most
// [Config.MaxFaults] faults. Patterns are Go's (RE2), which take linear time.
package contract
