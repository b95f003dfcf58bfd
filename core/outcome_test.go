package core

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// auditOne returns the event that one audit makes, and the audit's error.
func auditOne(t *testing.T, cfg Config, origin Origin, fields Fields, opts ...Option) (Event, error) {
	t.Helper()
	var event Event
	rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
		event = events[0]
		return nil
	}}, cfg)
	err := rec.Audit(NewContext(t.Context(), nil, origin), "x", fields, opts...)
	return event, err
}

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

func TestTarget(t *testing.T) {
	id := uuid.MustParse("0198c0de-0000-7000-8000-000000000001")
	answer := 42
	for name, c := range map[string]struct {
		kind string
		id   any
		want string
	}{
		"a text":                {"order", "A-1", "order/A-1"},
		"an int":                {"order", 42, "order/42"},
		"a whole float":         {"order", 42.0, "order/42"},
		"the int's text":        {"order", "42", "order/42"},
		"a small int":           {"order", int8(-1), "order/-1"},
		"a pointer":             {"order", &answer, "order/42"},
		"a number of JSON":      {"order", json.Number("42.0"), "order/42"},
		"the greatest":          {"order", uint64(math.MaxUint64), "order/18446744073709551615"},
		"a large whole float":   {"order", 1e15, "order/1000000000000000"},
		"a fraction":            {"order", 1.5, "order/1.5"},
		"a UUID":                {"order", id, "order/0198c0de-0000-7000-8000-000000000001"},
		"bytes":                 {"order", []byte{0, 255}, "order/00ff"},
		"a Stringer":            {"order", stringer{"s"}, "order/s"},
		"a time":                {"day", time.Date(2020, 1, 2, 0, 0, 0, 0, time.UTC), "day/2020-01-02T00:00:00Z"},
		"a blank name":          {"user", "", "user/"},
		"a slash":               {"path", "/a/b", "path//a/b"},
		"every letter of kinds": {"az09_.-", 1, "az09_.-/1"},
	} {
		event, err := auditOne(t, Config{}, signedBy("alice"), nil, On(c.kind, c.id))
		if err != nil || event.Target != c.want {
			t.Errorf("%s: got %q, %v; want %q", name, event.Target, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		opts []Option
		want string
	}{
		"no kind":              {[]Option{On("", 1)}, "such as"},
		"a capital":            {[]Option{On("Order", 1)}, "such as"},
		"a slash":              {[]Option{On("a/b", 1)}, "such as"},
		"a long kind":          {[]Option{On(strings.Repeat("A", 1<<20), 1)}, "such as"},
		"no id":                {[]Option{On("order", nil)}, "is nil"},
		"a nil pointer":        {[]Option{On("order", (*int)(nil))}, "is nil"},
		"a struct":             {[]Option{On("order", struct{ ID int }{1})}, "pass its key"},
		"a list":               {[]Option{On("order", []int{1})}, "pass its key"},
		"two":                  {[]Option{On("order", 1), On("customer", 2)}, "one target"},
		"a second that is bad": {[]Option{On("order", 1), On("B", 2)}, "one target"},
	} {
		event, err := auditOne(t, Config{}, signedBy("alice"), nil, c.opts...)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 || event.Tag != "" {
			t.Errorf("%s: got %+v, %v; want an error with %q", name, event, err, c.want)
		}
	}
}

func TestOutcome(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		opts    []Option
		outcome Outcome
		reason  string
	}{
		"nothing":                 {nil, OutcomeUnstated, ""},
		"Succeeded":               {[]Option{Succeeded()}, OutcomeSuccess, ""},
		"Denied":                  {[]Option{Denied("why")}, OutcomeDenied, "why"},
		"Denied without a reason": {[]Option{Denied("")}, OutcomeDenied, ""},
		"Failed":                  {[]Option{Failed("why")}, OutcomeFailure, "why"},
		"Result of nil":           {[]Option{Result(nil)}, OutcomeSuccess, ""},
		"Result":                  {[]Option{Result(boom)}, OutcomeFailure, "boom"},
	} {
		event, err := auditOne(t, Config{}, signedBy("alice"), nil, c.opts...)
		if err != nil || event.Outcome != c.outcome || event.Reason != c.reason {
			t.Errorf("%s: got %q %q, %v", name, event.Outcome, event.Reason, err)
		}
	}
	for name, opts := range map[string][]Option{
		"two":            {Succeeded(), Denied("x")},
		"twice the same": {Succeeded(), Succeeded()},
		"a result too":   {Result(boom), Failed("x")},
	} {
		if event, err := auditOne(t, Config{}, signedBy("alice"), nil, opts...); err == nil || !strings.Contains(err.Error(), "one outcome") || event.Tag != "" {
			t.Errorf("%s: got %+v, %v", name, event, err)
		}
	}
	if _, err := auditOne(t, Config{}, signedBy("alice"), nil, Result(panickyError{})); err == nil || !strings.Contains(err.Error(), "panicked") {
		t.Errorf("an error that panics: %v", err)
	}
}

type panickyError struct{}

func (panickyError) Error() string { panic("no") }

// impersonated is an Origin whose user somebody else has taken over.
type impersonated struct {
	testOrigin
	actor string
	err   error
}

func (o impersonated) Impersonator(context.Context) (string, error) { return o.actor, o.err }

func TestOnBehalfOf(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		origin    Origin
		opts      []Option
		user, who string
	}{
		"nobody":                       {signedBy("alice"), nil, "alice", ""},
		"the option":                   {signedBy("root"), []Option{OnBehalfOf("alice")}, "root", "alice"},
		"the option with As":           {nil, []Option{As("root"), OnBehalfOf("alice")}, "root", "alice"},
		"an impersonator":              {impersonated{signedBy("alice"), "root", nil}, nil, "root", "alice"},
		"no impersonator":              {impersonated{signedBy("alice"), "", nil}, nil, "alice", ""},
		"oneself":                      {impersonated{signedBy("alice"), "alice", nil}, nil, "alice", ""},
		"an impersonator of nobody":    {impersonated{signedBy(""), "root", nil}, nil, "root", ""},
		"the option beats the session": {impersonated{signedBy("alice"), "root", nil}, []Option{OnBehalfOf("bob")}, "root", "bob"},
		"As beats the impersonator":    {impersonated{signedBy("alice"), "root", nil}, []Option{As("cron")}, "cron", ""},
	} {
		event, err := auditOne(t, Config{}, c.origin, nil, c.opts...)
		if err != nil || event.User != c.user || event.OnBehalfOf != c.who {
			t.Errorf("%s: %q for %q, %v", name, event.User, event.OnBehalfOf, err)
		}
		if c.origin == nil {
			continue
		}
		detached := Detach(NewContext(t.Context(), nil, c.origin))
		event = Event{}
		rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
			event = events[0]
			return nil
		}}, Config{})
		if err = rec.Audit(detached, "x", nil, c.opts...); err != nil || event.User != c.user || event.OnBehalfOf != c.who {
			t.Errorf("%s, detached: %q for %q, %v", name, event.User, event.OnBehalfOf, err)
		}
	}
	if _, err := auditOne(t, Config{}, impersonated{signedBy("alice"), "", boom}, nil); !errors.Is(err, boom) {
		t.Errorf("an impersonator that cannot be told: %v", err)
	}
}

func TestAnonymous(t *testing.T) {
	boom := errors.New("boom")
	for name, cfg := range map[string]Config{"by default": {}, "with RequireUser": {RequireUser: true}} {
		event, err := auditOne(t, cfg, signedBy(""), nil, Anonymous())
		if err != nil || event.Tag != "x" || event.User != "" || event.Request == nil {
			t.Errorf("%s: nobody: %+v, %v", name, event, err)
		}
		if event, err = auditOne(t, cfg, nil, nil, Anonymous()); err != nil || event.Tag != "x" {
			t.Errorf("%s: outside a request: %+v, %v", name, event, err)
		}
		if event, err = auditOne(t, cfg, signedBy("alice"), nil, Anonymous()); err != nil || event.User != "alice" {
			t.Errorf("%s: somebody: %+v, %v", name, event, err)
		}
		failing := testOrigin{user: func(context.Context) (string, error) { return "", boom }}
		if _, err = auditOne(t, cfg, failing, nil, Anonymous()); !errors.Is(err, boom) {
			t.Errorf("%s: a lookup that fails: %v", name, err)
		}
	}
	event, err := auditOne(t, Config{}, signedBy(""), nil, On("user", "alice"))
	if err != nil || event.Tag != "" {
		t.Errorf("nobody and nothing said: %+v, %v; want it cancelled", event, err)
	}
}

// TestOptionsAreNotFields shows that no field can say what an option says.
func TestOptionsAreNotFields(t *testing.T) {
	fields := Fields{}
	for _, name := range []string{"user", "username", "on_behalf_of", "for", "target", "outcome", "reason", "tenant", "service", "datetime", "request"} {
		for _, prefix := range []string{"", "audit_", "audit."} {
			fields[prefix+name] = "forged"
		}
	}
	event, err := auditOne(t, Config{Service: "shop"}, signedBy("alice"), fields)
	event.ID, event.Time, event.Request = uuid.UUID{}, time.Time{}, nil
	if err != nil || len(event.Fields) != len(fields) {
		t.Fatalf("got %+v, %v", event, err)
	}
	event.Fields = nil
	if string(event.AppendJSON(nil)) != string(Event{Tag: "x", User: "alice", Service: "shop"}.AppendJSON(nil)) {
		t.Errorf("forged: %s", event.AppendJSON(nil))
	}
}
