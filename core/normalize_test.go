package core

import (
	"maps"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core/internal/values"
)

// checkSame fails unless normalising e again changes nothing.
func checkSame(t *testing.T, e Event, maxBytes int) {
	t.Helper()
	again := e.Normalize(maxBytes)
	if again.ID != e.ID || again.Tag != e.Tag || again.User != e.User || again.Time != e.Time || again.Request != e.Request {
		t.Fatalf("normalising again changes\n%v into\n%v", e, again)
	}
	if !sameKinds(map[string]any(again.Fields), map[string]any(e.Fields)) {
		t.Fatalf("normalising again changes the fields\n%v into\n%v", e.Fields, again.Fields)
	}
}

func TestNormalizeFillsIn(t *testing.T) {
	before := time.Now().Truncate(time.Microsecond)
	e := Event{}.Normalize(0)
	after := time.Now()
	if e.ID.Version() != 7 || e.Time.Before(before) || e.Time.After(after) || e.Fields == nil {
		t.Errorf("got %+v", e)
	}
	if e.Time.Location() != time.UTC || e.Time != e.Time.Round(0) || e.Time.Nanosecond()%1000 != 0 {
		t.Errorf("time %v", e.Time)
	}
	id := uuid.MustParse("0198c0de-0000-4000-8000-000000000001")
	if e := (Event{ID: id}).Normalize(0); e.ID != id {
		t.Errorf("id %v", e.ID)
	}
	// The id of an event of the past is of today: ids are for storing.
	e = Event{Time: time.Unix(0, 0)}.Normalize(0)
	if sec, _ := e.ID.Time().UnixTime(); sec < before.Unix()-60 {
		t.Errorf("id %v is of %d", e.ID, sec)
	}
	checkSame(t, e, 0)
}

func TestEventTime(t *testing.T) {
	zone := time.FixedZone("", 3600)
	first, last := time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	for _, c := range []struct{ in, want time.Time }{
		{time.Date(2020, 1, 2, 3, 4, 5, 6789, zone), time.Date(2020, 1, 2, 2, 4, 5, 6000, time.UTC)},
		{time.Date(1, 1, 1, 0, 0, 0, 0, zone), first},
		{time.Time{}.Add(1), first}, // truncated it would be the zero time
		{time.Time{}.Add(-1), first},
		{time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), first},
		{time.Unix(math.MinInt64/2, 0), first},
		{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), last},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -1)), last},
		{time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC), last},
	} {
		e := Event{Time: c.in}.Normalize(0)
		if e.Time != c.want {
			t.Errorf("%v: got %v, want %v", c.in, e.Time, c.want)
		}
		checkSame(t, e, 0)
	}
}

func TestNormalizeTexts(t *testing.T) {
	long := strings.Repeat("é", 5000) + "\x00"
	r := &Request{Path: "/\x00\xff", Host: long, IP: "1.2.3.4"}
	before := *r
	e := Event{Tag: long, User: long, Request: r}.Normalize(0)
	if *r != before || e.Request == r {
		t.Errorf("the request that others share was changed")
	}
	if e.Request.Path != "/\uFFFD\uFFFD" || e.Request.IP != "1.2.3.4" {
		t.Errorf("got %+v", e.Request)
	}
	for name, c := range map[string]struct {
		text  string
		limit int
	}{"tag": {e.Tag, 1024}, "user": {e.User, 256}, "host": {e.Request.Host, 4096}} {
		if len(c.text) > c.limit || len(c.text) < c.limit-1 || !utf8.ValidString(c.text) || !strings.HasSuffix(c.text, "é…(cut from 10001 bytes)") {
			t.Errorf("%s of %d bytes: …%q", name, len(c.text), c.text[len(c.text)-40:])
		}
	}
	checkSame(t, e, 0)
	clean := &Request{Path: "/", UserAgent: strings.Repeat("a", 4096)}
	if e := (Event{Request: clean}).Normalize(0); e.Request != clean {
		t.Error("a request that needs no change was copied")
	}
}

func TestCutText(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"a\xffc", 5, "a\uFFFDc"}, {"\x00", 3, "\uFFFD"},
		{strings.Repeat("a", 41), 40, strings.Repeat("a", 18) + "…(cut from 41 bytes)"},
		{strings.Repeat("é", 21), 41, strings.Repeat("é", 9) + "…(cut from 42 bytes)"}, // 41 - 22 = 19, between the bytes of a rune
		{"\xff\xff" + strings.Repeat("a", 40), 41, "\uFFFD\uFFFD" + strings.Repeat("a", 13) + "…(cut from 42 bytes)"},
		{strings.Repeat("a", 41), 5, "…(c"}, {strings.Repeat("a", 41), 2, ""},
	} {
		if got := values.Cut(c.in, c.limit); got != c.want {
			t.Errorf("values.Cut(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestNormalizeLeavesTheCallerAlone(t *testing.T) {
	inner := map[string]any{"n": 1}
	list := []any{inner, "x"}
	data := []byte("data")
	in := Fields{"inner": inner, "list": list, "data": data, "nil": nil, "bad\xff": 1}
	before := maps.Clone(in)
	e := Event{Fields: in}.Normalize(0)
	if !reflect.DeepEqual(in, before) {
		t.Fatalf("the caller's map became %v", in)
	}
	inner["n"], list[1], data[0], in["new"] = 2, "y", 'X', true
	want := Fields{"inner": map[string]any{"n": int64(1)}, "list": []any{map[string]any{"n": int64(1)}, "x"}, "data": []byte("data"), "bad\uFFFD": int64(1)}
	if !reflect.DeepEqual(e.Fields, want) {
		t.Errorf("the caller still reaches into the event: %v", e.Fields)
	}
	// The same goes for an event that was normalised before.
	again := e.Normalize(0)
	e.Fields["data"].([]byte)[0] = 'X'
	e.Fields["more"] = true
	if !reflect.DeepEqual(again.Fields, want) {
		t.Errorf("two events share %v", again.Fields)
	}
}

// What is shared between audits, of several goroutines, is only read.
func TestNormalizeConcurrently(t *testing.T) {
	type point struct{ X, Y *counter }
	shared := Fields{"p": &point{&counter{1}, &counter{2}}, "m": map[int]any{1: pointerText{"a"}}, "s": secret("x")}
	r := &Request{Path: "\xff", UserAgent: strings.Repeat("x", 5000)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				e := Event{Request: r, Fields: shared}.Normalize(0)
				if !values.Equal(map[string]any(e.Fields), map[string]any{
					"p": map[string]any{"X": "big", "Y": "big"}, "m": map[string]any{"1": "pointer a"}, "s": "[hidden]",
				}) {
					t.Errorf("got %v", e.Fields)
					return
				}
			}
		})
	}
	wg.Wait()
}

type counter struct{ n int }

func (*counter) String() string { return "big" }

func TestNormalizeAllocations(t *testing.T) {
	r, fields := sampleRequest(), sampleFields()
	if got := testing.AllocsPerRun(200, func() {
		e := Event{Tag: "refund", User: "alice", Request: r, Fields: fields}
		e.normalize(0, nil)
	}); got > 3 {
		t.Errorf("%v allocations, want at most 3", got)
	}
}

func FuzzNormalizeString(f *testing.F) {
	for _, s := range []string{"", "abc", "a\x00b", "\xff\xfe", "é\xc3", "\xed\xa0\x80", "…(cut from 3 bytes)", strings.Repeat("日本", 300), strings.Repeat("\xf0", 2000)} {
		f.Add(s, 100)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = max(0, limit%5000)
		cut := values.Cut(s, limit)
		if !utf8.ValidString(cut) || strings.Contains(cut, "\x00") || len(cut) > limit {
			t.Fatalf("values.Cut(%q, %d) = %q", s, limit, cut)
		}
		if again := values.Cut(cut, limit); again != cut {
			t.Fatalf("%q is cut again to %q", cut, again)
		}
		if utf8.ValidString(s) && !strings.Contains(s, "\x00") {
			if !values.IsClean(s) || len(s) <= limit && cut != s {
				t.Fatalf("%q was changed to %q", s, cut)
			}
		} else if values.IsClean(s) {
			t.Fatalf("%q passes for clean", s)
		}
		e := Event{Tag: s, User: s, Request: &Request{Path: s}, Fields: Fields{s: s, "l": []any{s}, "m": map[string]any{s: s}}}.Normalize(limit)
		checkNormal(t, map[string]any(e.Fields), 0)
		checkSame(t, e, limit)
	})
}
