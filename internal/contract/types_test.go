package contract

import (
	"encoding/json"
	"math/big"
	"reflect"
	"time"

	shopspring "github.com/shopspring/decimal"
)

// The types that the tests are about. Together they have everything that a schema
// can say.

type order struct {
	Name  string   `json:"name" description:"Who it is for." minLength:"1" maxLength:"64" example:"Ada"`
	Kind  string   `json:"kind" enum:"green tea,black tea,coffee"`
	Sugar int      `json:"sugar" minimum:"0" maximum:"5"`
	Milk  bool     `json:"milk"`
	Price float64  `json:"price" minimum:"0"`
	Tags  []string `json:"tags" maxItems:"4"`
}

type numbers struct {
	I8   int8     `json:"i8,omitzero"`
	I16  int16    `json:"i16,omitzero"`
	I32  int32    `json:"i32,omitzero"`
	I64  int64    `json:"i64,omitzero"`
	U8   uint8    `json:"u8,omitzero"`
	U16  uint16   `json:"u16,omitzero"`
	U32  uint32   `json:"u32,omitzero"`
	U64  uint64   `json:"u64,omitzero"`
	F32  float32  `json:"f32,omitzero"`
	F64  float64  `json:"f64,omitzero"`
	Step float64  `json:"step,omitzero" minimum:"-0.1" maximum:"0.3"`
	Huge uint64   `json:"huge,omitzero" minimum:"1000000000000000000" maximum:"18446744073709551614"`
	One  int      `json:"one,omitzero" enum:"1,2,300"`
	Half *float64 `json:"half" enum:"0.5,1e2"`
	Text int64    `json:"text,omitzero,string"`
	Flat *uint16  `json:"flat,string"`
	Real float64  `json:"real,omitzero,string"`
}

type formats struct {
	When  time.Time          `json:"when,omitzero"`
	Long  time.Duration      `json:"long,omitzero"`
	Bytes []byte             `json:"bytes,omitempty"`
	Hash  [4]byte            `json:"hash,omitzero"`
	Big   *big.Int           `json:"big"`
	Ratio *big.Rat           `json:"ratio"`
	Money shopspring.Decimal `json:"money,omitzero" pattern:"^-?[0-9]+([.][0-9]+)?$" example:"-1.50"`
	ID    string             `json:"id,omitzero" format:"uuid" example:"7f4df6d0-7a0b-4f4f-9d2a-1b1b1b1b1b1b"`
	Day   string             `json:"day,omitzero" format:"date" example:"2026-01-02"`
	Mail  string             `json:"mail,omitzero" format:"email" example:"ada@example.org"`
	Stamp string             `json:"stamp,omitzero" format:"date-time" example:"2026-01-02T15:04:05Z"`
	Span  string             `json:"span,omitzero" format:"duration" example:"P3W"`
	Code  string             `json:"code,omitzero" pattern:"^[a-zß]+$" minLength:"2" maxLength:"4" example:"ßab"`
	Own   colour             `json:"own,omitzero"`
	Pairs pairs              `json:"pairs,omitzero"`
	Free  any                `json:"free,omitempty"`
	Raw   json.RawMessage    `json:"raw,omitempty"`
	ByDay map[time.Time]int  `json:"by_day,omitempty"`
	Long2 *time.Duration     `json:"long2"`
}

type shapes struct {
	base
	*Extra
	Names  map[string]string `json:"names" minProperties:"1" maxProperties:"3"`
	Counts map[int8]uint8    `json:"counts,omitempty"`
	Spans  map[string]*node  `json:"spans,omitempty"`
	Fixed  [2]bool           `json:"fixed,omitzero"`
	Node   *node             `json:"node"`
	Nodes  []node            `json:"nodes,omitempty" minItems:"1"`
	Lists  []*[]int          `json:"lists,omitempty"`
	Tree   tree              `json:"tree,omitempty"`
	Inline struct {
		A int `json:"a"`
		B *struct {
			C bool `json:"c"`
		} `json:"b"`
	} `json:"inline"`
	Odd string `json:"a/b~ é,omitzero"`
}

type base struct {
	ID    string `json:"id"`
	Shape string `json:"shape,omitempty"`
}

type Extra struct {
	Note string `json:"note"`
}

type node struct {
	Value int     `json:"value"`
	Next  *node   `json:"next"`
	Below []*node `json:"below,omitempty"`
}

type tree map[string]tree

// forest is recursive by way of a struct that has no name.
type forest []struct {
	Below *forest     `json:"below"`
	Times []time.Time `json:"times,omitempty"`
}

// many has more members than a word has bits.
type many struct {
	M00, M01, M02, M03, M04, M05, M06, M07, M08, M09, M10, M11, M12, M13, M14, M15 *int
	M16, M17, M18, M19, M20, M21, M22, M23, M24, M25, M26, M27, M28, M29, M30, M31 *int
	M32, M33, M34, M35, M36, M37, M38, M39, M40, M41, M42, M43, M44, M45, M46, M47 *int
	M48, M49, M50, M51, M52, M53, M54, M55, M56, M57, M58, M59, M60, M61, M62, M63 *int
	M64, M65, M66                                                                  int
	M67                                                                            string `default:"x" json:",omitzero"`
}

type defaults struct {
	Limit  int               `json:"limit,omitzero" default:"20" maximum:"100"`
	Sort   string            `json:"sort,omitzero" default:"name" enum:"name,price"`
	Page   page              `json:"page,omitzero"`
	Other  *page             `json:"other"`
	Strict strict            `json:"strict,omitzero"`
	Pages  []page            `json:"pages,omitempty"`
	Named  map[string]page   `json:"named,omitempty"`
	Labels map[string]string `json:"labels,omitzero" default:"{\"a\": \"b\"}"`
	Wait   time.Duration     `json:"wait,omitzero" default:"PT1.5S"`
	Exact  *bool             `json:"exact" default:"true"`
	Sizes  []int             `json:"sizes,omitzero" default:"[1, 2]"`
	Plain  string            `json:"plain,omitzero"`
}

type page struct {
	Size  int `json:"size,omitzero" default:"10"`
	First int `json:"first,omitzero" default:"1"`
}

type strict struct {
	Must int `json:"must"`
	May  int `json:"may,omitzero" default:"7"`
}

// colour says its own schema, in words that rules know.
type colour string

func (colour) JSONSchema() []byte {
	return []byte(`{ "title": "Colour", "type": "string", "pattern": "^#[0-9a-f]{6}$" }`)
}

// pairs says its own schema, in words that only the library knows.
type pairs []int

func (pairs) JSONSchema() []byte {
	return []byte(`{"type": "array", "items": {"type": "integer", "multipleOf": 2}, "uniqueItems": true}`)
}

// subjects are the types by name.
var subjects = []struct {
	name string
	typ  reflect.Type
}{
	{"order", reflect.TypeFor[order]()},
	{"numbers", reflect.TypeFor[numbers]()},
	{"formats", reflect.TypeFor[formats]()},
	{"shapes", reflect.TypeFor[shapes]()},
	{"node", reflect.TypeFor[node]()},
	{"many", reflect.TypeFor[many]()},
	{"defaults", reflect.TypeFor[defaults]()},
	{"tree", reflect.TypeFor[tree]()},
	{"forest", reflect.TypeFor[forest]()},
	{"list", reflect.TypeFor[[]*order]()},
	{"nullable", reflect.TypeFor[*int32]()},
	{"any", reflect.TypeFor[any]()},
	{"empty", reflect.TypeFor[struct{}]()},
	{"pairs", reflect.TypeFor[*pairs]()},
}
