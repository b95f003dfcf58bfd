package core_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// Which Go value becomes what.
func ExampleEvent_Normalize() {
	for _, v := range []any{
		true, 42, uint8(7), uint64(math.MaxUint64), float32(1.1), "text", "not UTF-8: \xff", 1 + 2i,
		time.Date(2020, 1, 2, 3, 4, 5, 6789, time.FixedZone("CET", 3600)), 90 * time.Second,
		[]byte("raw"), []int{1, 2}, [2]bool{true}, map[int]string{1: "one"},
		json.Number("9.50"), json.RawMessage(`{"a":[1,2.5]}`), uuid.UUID{15: 1}, netip.MustParseAddr("192.0.2.1"),
		errors.New("card declined"), make(chan int), (*int)(nil),
	} {
		e := core.Event{Fields: core.Fields{"v": v}}.Normalize(0)
		got, ok := e.Fields["v"]
		if !ok {
			fmt.Printf("%T: absent\n", v)
			continue
		}
		fmt.Printf("%T: %T %v\n", v, got, got)
	}
	// Output:
	// bool: bool true
	// int: int64 42
	// uint8: int64 7
	// uint64: uint64 18446744073709551615
	// float32: float64 1.1
	// string: string text
	// string: string not UTF-8: �
	// complex128: string (1+2i)
	// time.Time: time.Time 2020-01-02 02:04:05.000006 +0000 UTC
	// time.Duration: int64 90000000000
	// []uint8: []uint8 [114 97 119]
	// []int: []interface {} [1 2]
	// [2]bool: []interface {} [true false]
	// map[int]string: map[string]interface {} map[1:one]
	// json.Number: float64 9.5
	// json.RawMessage: map[string]interface {} map[a:[1 2.5]]
	// uuid.UUID: string 00000000-0000-0000-0000-000000000001
	// netip.Addr: string 192.0.2.1
	// *errors.errorString: string card declined
	// chan int: string (chan int)
	// *int: absent
}

type Card struct {
	Holder string    `json:"holder"`
	Number CardNo    `json:"number"`
	PIN    string    `json:"-"`
	Note   string    `json:"note,omitempty"`
	Until  time.Time `json:"until,omitzero"`
}

type CardNo string

// LogValue shows the last four digits, to logs and to audits.
func (n CardNo) LogValue() slog.Value {
	return slog.StringValue("…" + string(n[max(0, len(n)-4):]))
}

// A value with LogValue stays hidden wherever it stands.
func ExampleEvent_Normalize_secret() {
	no := CardNo("4111111111111111")
	e := core.Event{Fields: core.Fields{
		"number":  no,
		"pointer": &no,
		"list":    []CardNo{no},
		"key":     map[CardNo]bool{no: true},
		"card":    &Card{Holder: "Alice", Number: no, PIN: "0000"},
	}}.Normalize(0)
	fmt.Printf("%s\n", auditjson.Append(nil, map[string]any(e.Fields)))
	// Output:
	// {"card":{"holder":"Alice","number":"…1111"},"key":{"…1111":true},"list":["…1111"],"number":"…1111","pointer":"…1111"}
}

// What is too large is cut and says so; what is small stays.
func ExampleEvent_Normalize_large() {
	e := core.Event{Tag: "upload", Fields: core.Fields{
		"file": strings.Repeat("x", 10<<20),
		"name": "holiday.mp4",
	}}.Normalize(0)
	file := e.Fields["file"].(string)
	fmt.Println(e.Fields["name"])
	fmt.Println(len(file) < core.DefaultMaxEventBytes, strings.TrimLeft(file, "x"))
	// Output:
	// holiday.mp4
	// true …(cut from 10485760 bytes)
}

func ExampleEvent_AppendJSON() {
	fmt.Printf("%s\n", core.Event{
		ID:      uuid.MustParse("0198c0de-0000-7000-8000-000000000001"),
		Tag:     "refund",
		User:    "alice",
		Time:    time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC),
		Request: &core.Request{Path: "/refund", Host: "shop.example.com", IP: "192.0.2.1", Method: "POST"},
		Fields:  core.Fields{"order": int64(42), "amount": 9.5},
	}.AppendJSON(nil))
	// Output:
	// {"id":"0198c0de-0000-7000-8000-000000000001","tag":"refund","username":"alice","datetime":"2020-01-02T03:04:05.000006Z","path":"/refund","host":"shop.example.com","ip":"192.0.2.1","request":{"method":"POST"},"fields":{"amount":9.5,"order":42}}
}
