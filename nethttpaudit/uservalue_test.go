package nethttpaudit

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

type (
	id        uint32
	hashed    []byte
	stringer  struct{ text string }
	pointer   struct{ text string }
	textError struct{}
	onOff     bool
	loop      *loop
	model     struct {
		gorm.Model
		Name string
	}
	jsonColumn struct{ Name string }
	selfValue  struct{}
	valueError struct{}
	bareUUID   [16]byte
)

func (s stringer) String() string                 { return s.text }
func (p *pointer) String() string                 { return p.text }
func (textError) MarshalText() ([]byte, error)    { return nil, errors.New("cannot be told") }
func (onOff) String() string                      { return "on" }
func (c jsonColumn) Value() (driver.Value, error) { return json.Marshal(c) }
func (v selfValue) Value() (driver.Value, error)  { return v, nil }
func (v valueError) Value() (driver.Value, error) { return nil, errors.New("cannot be told") }

func TestAsUser(t *testing.T) {
	anID := uuid.MustParse("0191e2a8-1111-7222-8333-444455556666")
	for _, c := range []struct {
		v    any
		user string
	}{
		{"alice", "alice"}, {" ", " "}, {ptr("alice"), "alice"}, {ptr(ptr("alice")), "alice"},
		{name("alice"), "alice"}, {[]byte("alice"), "alice"}, {hashed("alice"), "alice"},
		{42, "42"}, {int8(-1), "-1"}, {int64(-1 << 63), "-9223372036854775808"}, {uint64(1<<64 - 1), "18446744073709551615"},
		{0, "0"}, {id(7), "7"}, {uintptr(1), "1"}, {ptr(42), "42"},
		{stringer{"alice"}, "alice"}, {&stringer{"alice"}, "alice"}, {&pointer{"alice"}, "alice"}, {stringer{}, ""},
		{netip.MustParseAddr("::1"), "::1"}, {big.NewInt(42), "42"},

		// What integers become in a session that is kept as JSON.
		{1042.0, "1042"}, {-7.0, "-7"}, {0.0, "0"}, {math.Copysign(0, -1), "0"}, {ptr(1042.0), "1042"}, {float32(1042), "1042"},
		{float64(1<<53 - 1), "9007199254740991"}, {float64(-(1<<53 - 1)), "-9007199254740991"}, {float32(1<<24 - 1), "16777215"},
		{json.Number("42"), "42"}, {json.Number("-42"), "-42"}, {json.Number("1042.0"), "1042"}, {json.Number("1.042e3"), "1042"},
		{json.Number("123456789012345678901234567890"), "123456789012345678901234567890"}, {ptr(json.Number("42.0")), "42"},

		// What databases give.
		{sql.NullString{String: "alice", Valid: true}, "alice"}, {&sql.NullString{String: "alice", Valid: true}, "alice"},
		{sql.NullString{String: "alice"}, ""}, {sql.NullInt64{Int64: 42, Valid: true}, "42"}, {sql.NullInt64{}, ""},
		{sql.NullFloat64{Float64: 42, Valid: true}, "42"}, {sql.Null[string]{V: "alice", Valid: true}, "alice"}, {sql.Null[string]{}, ""},
		{anID, anID.String()}, {&anID, anID.String()},
		{uuid.NullUUID{UUID: anID, Valid: true}, anID.String()}, {uuid.NullUUID{}, ""},

		// Nothing is nobody.
		{nil, ""}, {"", ""}, {[]byte{}, ""}, {[]byte(nil), ""}, {json.Number(""), ""},
		{(*stringer)(nil), ""}, {(*pointer)(nil), ""}, {(*string)(nil), ""}, {ptr((*string)(nil)), ""}, {(*sql.NullString)(nil), ""},
		{[]any(nil), ""}, {[]string{}, ""}, {map[string]any{}, ""}, {document(nil), ""}, {(func())(nil), ""}, {any(error(nil)), ""},
	} {
		user, err := asUser(c.v)
		if err != nil || user != c.user {
			t.Errorf("asUser(%T) = %q, %v, want %q", c.v, user, err, c.user)
		}
	}
}

// A value that is there and names nobody must not pass for nobody.
func TestAsUserOfWhatIsNoUser(t *testing.T) {
	var self loop
	self = &self
	for _, v := range []any{
		true, false, onOff(true), ptr(true), sql.NullBool{Bool: true, Valid: true},
		1.5, -0.1, math.NaN(), math.Inf(1), math.Inf(-1), float64(1 << 53), -float64(1 << 53), 1e300, float32(1 << 24), float32(0.5),
		json.Number("1.5"), json.Number("1e400"), json.Number("9007199254740993.0"), json.Number("alice"), sql.NullFloat64{Float64: 1.5, Valid: true},
		1i, complex64(1), pointer{"alice"}, self, struct{}{}, account{Name: "alice"}, &account{Name: "alice"},
		model{Name: "alice"}, &model{Name: "alice"}, *big.NewInt(42), errors.New("alice"),
		map[string]any{"x": 1}, map[string]any{"user": map[string]any{"id": 1}}, document{"x": 1},
		[]string{"alice"}, []any{"alice"}, []any{nil}, [2]byte{1, 2}, bareUUID{1}, []int{1}, [0]int{},
		[]byte{0xff, 0xfe}, hashed{0x80}, json.RawMessage(`"alice"`), jsonColumn{"alice"},
		func() {}, make(chan int), time.Now(), ptr(time.Now()), time.Minute, sql.NullTime{Time: time.Now(), Valid: true},
		gorm.DeletedAt{Time: time.Now(), Valid: true}, selfValue{}, textError{}, valueError{},
	} {
		if user, err := asUser(v); err == nil || user != "" {
			t.Errorf("asUser(%T) = %q, %v, want an error", v, user, err)
		}
	}
	for what, v := range map[string]any{"whose MarshalText fails (cannot be told)": textError{}, "whose Value fails (cannot be told)": valueError{}} {
		if _, err := asUser(v); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("asUser(%T): %v, want an error that says %s", v, err, what)
		}
	}
}
