package core

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// setDefault restores what it changes: the default recorder is the process's.
func setDefault(t *testing.T, rec *Recorder) {
	t.Helper()
	named := defaultRecorder.Load()
	t.Cleanup(func() { SetDefault(named) })
	SetDefault(rec)
}

func TestWhichRecorder(t *testing.T) {
	stores := map[string]*testStore{"own": {}, "outer": {}, "default": {}}
	own := newTestRecorder(t, stores["own"], Config{})
	outer := newTestRecorder(t, stores["outer"], Config{})
	fallback := newTestRecorder(t, stores["default"], Config{})
	background := context.Background()
	for _, tt := range []struct {
		name     string
		ctx      context.Context
		fallback *Recorder
		want     string // the store; "" is ErrNoRecorder
	}{
		{"the context's", NewContext(background, own, nil), fallback, "own"},
		{"the context's, without a default", NewContext(background, own, nil), nil, "own"},
		{"the inner one", NewContext(NewContext(background, outer, nil), own, nil), fallback, "own"},
		{"nil leaves it to the outer one", NewContext(NewContext(background, outer, nil), nil, nil), fallback, "outer"},
		{"through other contexts", context.WithValue(context.WithoutCancel(NewContext(background, own, nil)), ctxKey{}, 1), fallback, "own"},
		{"in a nil context", NewContext(noContext, own, nil), fallback, "own"},
		{"detached", Detach(NewContext(background, own, nil)), fallback, "own"},
		{"nil all the way", NewContext(NewContext(background, nil, nil), nil, nil), fallback, "default"},
		{"none", background, fallback, "default"},
		{"no context", nil, fallback, "default"},
		{"detached from none", Detach(background), fallback, "default"},
		{"detached from no context", Detach(noContext), fallback, "default"},
		{"none, without a default", background, nil, ""},
		{"nil, without a default", NewContext(background, nil, nil), nil, ""},
		{"no context, without a default", nil, nil, ""},
		{"a zero recorder", NewContext(background, &Recorder{}, nil), fallback, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			setDefault(t, tt.fallback)
			err := Audit(tt.ctx, tt.name, nil, As("me"))
			if tt.want == "" {
				wantErr(t, err, ErrNoRecorder)
				if !strings.Contains(err.Error(), "Middleware") || !strings.Contains(err.Error(), "SetDefault") {
					t.Errorf("%v does not name the fix", err)
				}
				return
			}
			wantErr(t, err)
			for name, store := range stores {
				if got := slices.Contains(store.tags(), tt.name); got != (name == tt.want) {
					t.Errorf("in store %q: %v", name, got)
				}
			}
		})
	}
}

// A recorder's own method writes there, whichever recorder the context leads to;
// the context says who acts.
func TestRecorderBeatsTheContext(t *testing.T) {
	store := &testStore{}
	rec := newTestRecorder(t, store, Config{})
	other := newTestRecorder(t, &testStore{onSave: answers(errStore)}, Config{})
	wantErr(t, rec.Audit(NewContext(t.Context(), other, signedBy("alice")), "x", nil))
	if tags := store.tags(); len(tags) != 1 {
		t.Errorf("stored %v", tags)
	}
}

func TestHasOrigin(t *testing.T) {
	with := NewContext(context.Background(), nil, signedBy("alice"))
	for name, tt := range map[string]struct {
		ctx  context.Context
		want bool
	}{
		"nil":              {nil, false},
		"none":             {context.Background(), false},
		"a recorder only":  {NewContext(context.Background(), &Recorder{}, nil), false},
		"an origin":        {with, true},
		"below an origin":  {context.WithValue(with, ctxKey{}, 1), true},
		"replaced by none": {NewContext(with, nil, nil), false},
		"detached":         {Detach(with), true},
	} {
		if got := HasOrigin(tt.ctx); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestContextKeepsWhatItWraps(t *testing.T) {
	parent, cancel := context.WithDeadline(context.WithValue(context.Background(), ctxKey{}, "v"), time.Now().Add(time.Hour))
	ctx := NewContext(parent, nil, nil)
	want, _ := parent.Deadline()
	if got, _ := ctx.Deadline(); !got.Equal(want) || ctx.Value(ctxKey{}) != "v" || ctx.Err() != nil {
		t.Errorf("%v: deadline %v, value %v", ctx.Err(), got, ctx.Value(ctxKey{}))
	}
	if v := ctx.Value([]int{1}); v != nil { // a key that cannot be compared
		t.Errorf("value %v", v)
	}
	cancel()
	<-ctx.Done()
	wantErr(t, ctx.Err(), context.Canceled)
}

func TestDetach(t *testing.T) {
	user, request := "alice", &Request{Path: "/refund", Host: "example.com"}
	origin := testOrigin{
		user:    func(context.Context) (string, error) { return user, nil },
		request: func(context.Context) *Request { return request },
	}
	var event Event
	rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
		event = events[0]
		return nil
	}}, Config{})
	parent, cancel := context.WithTimeout(context.WithValue(context.Background(), ctxKey{}, "v"), time.Hour)
	detached := Detach(NewContext(parent, rec, origin))
	cancel()
	user, request = "mallory", nil // the next request
	if _, ok := detached.Deadline(); ok || detached.Err() != nil || detached.Done() != nil {
		t.Errorf("deadline %v, error %v", ok, detached.Err())
	}
	if v := detached.Value(ctxKey{}); v != "v" {
		t.Errorf("value %v", v)
	}
	wantErr(t, Audit(detached, "x", nil))
	if event.User != "alice" || event.Request == nil || *event.Request != (Request{Path: "/refund", Host: "example.com"}) {
		t.Errorf("stored %+v", event)
	}
	wantErr(t, Audit(Detach(Detach(detached)), "x", nil, As("bob")))
	if event.User != "bob" || event.Request == nil {
		t.Errorf("stored %+v", event)
	}
}

func TestDetachRemembersTheError(t *testing.T) {
	broken := errors.New("the session store is down")
	now := broken
	rec := newTestRecorder(t, &testStore{}, Config{})
	ctx := Detach(NewContext(t.Context(), rec, testOrigin{user: func(context.Context) (string, error) { return "alice", now }}))
	now = nil
	wantErr(t, Audit(ctx, "x", nil), broken)
	wantErr(t, Audit(ctx, "x", nil), broken)
	wantErr(t, Audit(ctx, "x", nil, As("bob"))) // who is said without asking
}

// frameContext is a framework's context: reused for other requests, and not
// leading to the request's context by itself.
type frameContext struct {
	context.Context
	request context.Context
	keys    map[any]any
}

func (c *frameContext) Value(key any) any { return c.keys[key] }

func TestUnwrapper(t *testing.T) {
	registered := unwrappers
	t.Cleanup(func() { unwrappers = registered })
	RegisterUnwrapper(func(context.Context) context.Context { return nil }) // of another framework
	RegisterUnwrapper(func(ctx context.Context) context.Context {
		if c, ok := ctx.(*frameContext); ok {
			return c.request
		}
		return nil
	})
	var event Event
	rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
		event = events[0]
		return nil
	}}, Config{})
	origin := testOrigin{user: func(ctx context.Context) (string, error) {
		user, _ := ctx.Value("user").(string)
		return user, nil
	}}
	request := NewContext(context.WithValue(t.Context(), ctxKey{}, "v"), rec, origin)
	frame := &frameContext{Context: t.Context(), request: request, keys: map[any]any{"user": "alice"}}
	if !HasOrigin(frame) {
		t.Error("no origin")
	}
	wantErr(t, Audit(frame, "x", nil))
	if event.User != "alice" {
		t.Errorf("stored %+v", event)
	}

	// Detach asks while the framework's context is still this request's, and keeps
	// none of it.
	detached := Detach(frame)
	frame.request, frame.keys = nil, map[any]any{"user": "mallory"}
	wantErr(t, Audit(detached, "x", nil))
	if event.User != "alice" || detached.Value(ctxKey{}) != "v" || detached.Value("user") != nil {
		t.Errorf("stored %+v, values %v and %v", event, detached.Value(ctxKey{}), detached.Value("user"))
	}
	if HasOrigin(frame) {
		t.Error("a framework's context without a request has an origin")
	}
	setDefault(t, nil)
	wantErr(t, Audit(frame, "x", nil, As("me")), ErrNoRecorder)
}

// The console takes audits only while the process never made a recorder, so that
// this runs in a process of its own.
func TestConsoleUntilThereIsARecorder(t *testing.T) {
	const child = "AUDITING_TEST_CHILD"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), `mytag: me {a: "some data"}`) || strings.Contains(string(out), "othertag") {
			t.Errorf("%v, output:\n%s", err, out)
		}
		return
	}
	wantErr(t, Audit(t.Context(), "mytag", Fields{"a": "some data"}, As("me")))
	wantErr(t, Audit(noContext, "mytag", Fields{"a": "some data"}, As("me")))
	if _, err := New(nil, Config{}); err == nil {
		t.Error("a nil store was taken")
	}
	wantErr(t, Audit(t.Context(), "mytag", nil, As("me"))) // that was no recorder

	rec, err := New(&testStore{}, Config{})
	wantErr(t, err)
	wantErr(t, Audit(t.Context(), "othertag", nil, As("me")), ErrNoRecorder)
	wantErr(t, rec.Close(t.Context()))
	wantErr(t, Audit(t.Context(), "othertag", nil, As("me")), ErrNoRecorder)
	SetDefault(rec)
	wantErr(t, Audit(t.Context(), "othertag", nil, As("me")), ErrClosed)
	SetDefault(nil)
	wantErr(t, Audit(t.Context(), "othertag", nil, As("me")), ErrNoRecorder)
}

// noContext is what a caller passes by mistake.
var noContext context.Context
