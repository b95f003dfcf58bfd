package audittest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

func TestReading(t *testing.T) {
	rec := audittest.New(t)
	for n := range 3 {
		if err := rec.Recorder().Audit(t.Context(), "x", core.Fields{"n": n}, core.As("me"), core.On("order", n)); err != nil {
			t.Fatal(err)
		}
	}
	if tags, err := rec.Recorder().Tags(t.Context()); err != nil || len(tags) != 1 || tags[0] != "x" {
		t.Errorf("the tags are %q, %v", tags, err)
	}
	page, err := rec.Recorder().Read(t.Context(), core.Query{Target: "order/1"})
	if err != nil || len(page.Events) != 1 || page.Events[0].Fields["n"] != int64(1) {
		t.Errorf("read %v, %v", page, err)
	}
}

func TestRecording(t *testing.T) {
	rec := audittest.New(t)
	audit := func(tag, user string, n int) {
		t.Helper()
		if err := rec.Recorder().Audit(t.Context(), tag, core.Fields{"n": n}, core.As(user)); err != nil {
			t.Fatal(err)
		}
	}
	audit("refund", "alice", 1)
	audit("login", "bob", 2)
	audit("refund", "carol", 3)
	if events := rec.Events(); len(events) != 3 || events[0].User != "alice" || events[1].Tag != "login" || events[2].User != "carol" {
		t.Errorf("events %+v", events)
	}
	if events := rec.ByTag("refund"); len(events) != 2 || events[0].Fields["n"] != int64(1) || events[1].Fields["n"] != int64(3) {
		t.Errorf("refunds %+v", events)
	}
	if e := rec.Last("refund"); e.User != "carol" {
		t.Errorf("the last refund %+v", e)
	}
	rec.Reset()
	if events := rec.Events(); len(events) != 0 {
		t.Errorf("after Reset: %+v", events)
	}
}

func TestWhatIsReadBackIsACopy(t *testing.T) {
	rec := audittest.New(t)
	fields := core.Fields{"list": []any{map[string]any{"k": "v"}}, "bytes": []byte("abc")}
	if err := rec.Recorder().Audit(t.Context(), "tag", fields, core.As("alice")); err != nil {
		t.Fatal(err)
	}
	first := rec.Last("tag")
	first.Fields["list"].([]any)[0].(map[string]any)["k"] = "changed"
	first.Fields["bytes"].([]byte)[0] = 'x'
	first.Fields["more"] = true
	again := rec.Last("tag").Fields
	if again["list"].([]any)[0].(map[string]any)["k"] != "v" || string(again["bytes"].([]byte)) != "abc" || len(again) != 2 {
		t.Errorf("changed by its reader: %v", again)
	}
}

func TestStoreContract(t *testing.T) {
	rec := audittest.New(t)
	store := rec.Recorder().Store()
	events := []core.Event{{ID: [16]byte{1}, Tag: "a"}, {ID: [16]byte{2}, Tag: "b"}, {ID: [16]byte{1}, Tag: "a"}}
	for range 2 {
		if err := store.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(rec.Events()); n != 2 {
		t.Errorf("%d events, want one for each ID", n)
	}
}

func TestFail(t *testing.T) {
	rec, full := audittest.New(t), errors.New("disk full")
	rec.Fail(full)
	if err := rec.Recorder().Audit(t.Context(), "tag", nil, core.As("alice")); !errors.Is(err, full) {
		t.Errorf("the audit returned %v", err)
	}
	if n := len(rec.Events()); n != 0 {
		t.Errorf("%d events", n)
	}
	rec.Fail(nil)
	if err := rec.Recorder().Audit(t.Context(), "tag", nil, core.As("alice")); err != nil {
		t.Error(err)
	}
}

func TestConfigIsUsed(t *testing.T) {
	rec := audittest.NewConfig(t, core.Config{RequireUser: true})
	if err := rec.Recorder().Audit(t.Context(), "tag", nil); !errors.Is(err, core.ErrNoUser) {
		t.Errorf("the audit returned %v", err)
	}
}

func TestRecorderIsClosed(t *testing.T) {
	var rec *audittest.Recording
	t.Run("inner", func(t *testing.T) { rec = audittest.New(t) })
	err := rec.Recorder().Audit(context.Background(), "tag", nil, core.As("alice"))
	if !errors.Is(err, core.ErrClosed) {
		t.Errorf("an audit after the test returned %v", err)
	}
}

// aborted stops a helper that fails its test, as testing does.
type aborted struct {
	testing.TB
	text string
}

func (aborted) Helper() {}
func (aborted) Fatalf(format string, args ...any) {
	panic(aborted{text: fmt.Sprintf(format, args...)})
}

// failureOf returns with what Last of that tag fails the test.
func failureOf(t *testing.T, rec *audittest.Recording, tag string) (text string) {
	t.Helper()
	defer func() {
		failure, ok := recover().(aborted)
		if !ok {
			t.Errorf("Last(%q) did not fail the test", tag)
		}
		text = failure.text
	}()
	rec.Last(tag)
	return ""
}

func TestLastWithoutEvent(t *testing.T) {
	rec := audittest.New(aborted{TB: t})
	want := func(texts ...string) {
		t.Helper()
		got := failureOf(t, rec, "refund")
		for _, text := range texts {
			if !strings.Contains(got, text) {
				t.Errorf("Last says %q, want %q in it", got, text)
			}
		}
		if len(got) > 5000 {
			t.Errorf("Last says %d bytes", len(got))
		}
	}
	audit := func(tag string, opts ...core.Option) {
		t.Helper()
		if err := rec.Recorder().Audit(t.Context(), tag, core.Fields{"card": "secret"}, opts...); err != nil {
			t.Error(err)
		}
	}
	want(`nothing was audited as "refund": nothing was at all`)
	audit("refund")
	want("nothing was at all; 1 audits were cancelled because nobody could be identified, 0 failed")
	audit("refunded", core.As("alice"))
	audit("login", core.As("alice"))
	audit("refunded", core.As("alice"))
	want(`only "refunded" (2), "login" (1); 1 audits were cancelled`)
	for i := range 1000 {
		audit(fmt.Sprint(strings.Repeat("long", 1000), i), core.As("alice"))
		audit(fmt.Sprint(i, strings.Repeat("long", 1000)), core.As("alice"))
	}
	want(`only "refunded" (2)`, " more tags")
}

func TestJoined(t *testing.T) {
	rec := audittest.New(t)
	tx := new(int)
	if err := rec.Recorder().Audit(t.Context(), "refund", core.Fields{"n": 1}, core.As("me"), core.In(tx)); err != nil {
		t.Fatal(err)
	}
	if err := rec.Recorder().Audit(t.Context(), "refund", core.Fields{"n": 2}, core.As("me")); err != nil {
		t.Fatal(err)
	}
	if all, joined := rec.Events(), rec.Joined(); len(all) != 2 || len(joined) != 1 || joined[0].Fields["n"] != int64(1) {
		t.Errorf("%d events, of which %v were joined", len(all), joined)
	}
	fault := errors.New("no")
	rec.Fail(fault)
	if err := rec.Recorder().Audit(t.Context(), "refund", nil, core.As("me"), core.In(tx)); !errors.Is(err, fault) {
		t.Errorf("failing: %v", err)
	}
	rec.Reset()
	if n := len(rec.Joined()); n != 0 {
		t.Errorf("%d joined events after Reset", n)
	}
}
