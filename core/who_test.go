package core

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// testOrigin is an Origin that a test scripts.
type testOrigin struct {
	user    func(ctx context.Context) (string, error)
	request func(ctx context.Context) *Request
}

func (o testOrigin) User(ctx context.Context) (string, error) { return o.user(ctx) }

func (o testOrigin) Request(ctx context.Context) (*Request, error) {
	if o.request == nil {
		return &Request{Path: "/refund"}, nil
	}
	return o.request(ctx), nil
}

func signedBy(user string) testOrigin {
	return testOrigin{user: func(context.Context) (string, error) { return user, nil }}
}

func TestWhoAndWhen(t *testing.T) {
	at := time.Date(2019, 12, 5, 13, 55, 55, 636_742_000, time.FixedZone("", 3600))
	for _, tt := range []struct {
		name    string
		origin  Origin
		opts    []Option
		user    string
		request bool
		time    time.Time // zero is now
	}{
		{"the origin's user", signedBy("alice"), nil, "alice", true, time.Time{}},
		{"As beats the origin", signedBy("alice"), []Option{As("bob")}, "bob", true, time.Time{}},
		{"As the empty user leaves it to the origin", signedBy("alice"), []Option{As("")}, "alice", true, time.Time{}},
		{"As where nobody is signed in", signedBy(""), []Option{As("bob")}, "bob", true, time.Time{}},
		{"As outside a request", nil, []Option{As("cron")}, "cron", false, time.Time{}},
		{"the last one counts", nil, []Option{As("a"), At(at.Add(1)), As("b"), At(at)}, "b", false, at},
		{"At", signedBy("alice"), []Option{At(at)}, "alice", true, at},
		{"At the zero time", signedBy("alice"), []Option{At(time.Time{})}, "alice", true, time.Time{}},
		{"options that say nothing", signedBy("alice"), []Option{{}, At(at), {}}, "alice", true, at},
		{"no request", testOrigin{
			user:    signedBy("alice").user,
			request: func(context.Context) *Request { return nil },
		}, nil, "alice", false, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var event Event
				rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
					event = events[0]
					return nil
				}}, Config{})
				wantErr(t, rec.Audit(NewContext(t.Context(), nil, tt.origin), "x", nil, tt.opts...))
				want := tt.time
				if want.IsZero() {
					want = time.Now()
				}
				if event.User != tt.user || (event.Request != nil) != tt.request || event.Time != want.UTC() {
					t.Errorf("stored %+v, want %q at %v, in a request: %v", event, tt.user, want, tt.request)
				}
			})
		})
	}
}

func TestNobodyIsCancelled(t *testing.T) {
	for name, ctx := range map[string]context.Context{
		"no context":         nil,
		"no origin":          context.Background(),
		"a nil origin":       NewContext(context.Background(), nil, nil),
		"nobody signed in":   NewContext(context.Background(), nil, signedBy("")),
		"detached as nobody": Detach(NewContext(context.Background(), nil, signedBy(""))),
	} {
		t.Run(name, func(t *testing.T) {
			store := &testStore{}
			quiet := slog.New(slog.DiscardHandler)
			rec := newTestRecorder(t, store, Config{Logger: quiet})
			wantErr(t, rec.Audit(ctx, "refund", Fields{"order": 42}))
			wantErr(t, rec.Audit(ctx, "refund", nil, As("")))
			wantStats(t, rec, Stats{Attempted: 2, Cancelled: 2})

			rec = newTestRecorder(t, store, Config{RequireUser: true, Logger: quiet})
			err := rec.Audit(ctx, "refund", Fields{"order": 42})
			wantErr(t, err, ErrNoUser)
			if idOf(t, err) != uuid.Nil || !strings.Contains(err.Error(), `"refund"`) {
				t.Errorf("error %v", err)
			}
			wantErr(t, rec.Audit(ctx, "refund", nil, As("me")))
			wantStats(t, rec, Stats{Attempted: 2, Failed: 1, Stored: 1})
			if tags := store.tags(); !slices.Equal(tags, []string{"refund"}) {
				t.Errorf("stored %v", tags)
			}
		})
	}
}

func TestOriginThatFails(t *testing.T) {
	broken := errors.New("the session store is down")
	fail := func(context.Context) (string, error) { return "", broken }
	for _, tt := range []struct {
		name   string
		origin Origin
		opts   []Option
		want   error
		text   string
	}{
		{name: "an error", origin: testOrigin{user: fail}, want: broken},
		{name: "an error beside a user", origin: testOrigin{user: func(context.Context) (string, error) { return "alice", broken }}, want: broken},
		{name: "the request is over", origin: testOrigin{user: func(context.Context) (string, error) { return "", ErrRequestOver }}, want: ErrRequestOver},
		{name: "a panic", origin: testOrigin{user: func(context.Context) (string, error) { panic("no session") }}, text: "determining the user panicked: no session"},
		{name: "a nil function", origin: testOrigin{}, text: "determining the user panicked"},
		{name: "a typed nil", origin: (*fixedOrigin)(nil), text: "determining the user panicked"},
		{name: "a panic about the request", origin: testOrigin{
			user:    signedBy("alice").user,
			request: func(context.Context) *Request { panic("no request") },
		}, text: "describing the request panicked: no request"},
		{name: "a panic about the request with As", origin: testOrigin{
			request: func(context.Context) *Request { panic("no request") },
		}, opts: []Option{As("bob")}, text: "describing the request panicked: no request"},
	} {
		for _, detached := range []bool{false, true} {
			name := tt.name
			ctx := NewContext(t.Context(), nil, tt.origin)
			if detached {
				if tt.opts != nil {
					continue
				}
				name += ", detached"
				ctx = Detach(ctx)
			}
			t.Run(name, func(t *testing.T) {
				store := &testStore{}
				rec := newTestRecorder(t, store, Config{})
				err := rec.Audit(ctx, strings.Repeat("refund", 1000), nil, tt.opts...)
				if err == nil || idOf(t, err) != uuid.Nil || !strings.Contains(err.Error(), tt.text) {
					t.Fatalf("error %v", err)
				}
				if tt.want != nil {
					wantErr(t, err, tt.want)
				}
				if len(err.Error()) > 2*maxTagBytes {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
				wantStats(t, rec, Stats{Attempted: 1, Failed: 1})
				if len(store.saves()) != 0 {
					t.Errorf("written: %v", store.saves())
				}
			})
		}
	}
}

// An origin whose User fails is not asked when the audit names its user.
func TestAsDoesNotAskForTheUser(t *testing.T) {
	origin := testOrigin{user: func(context.Context) (string, error) {
		t.Error("asked for the user")
		return "", errStore
	}}
	rec := newTestRecorder(t, &testStore{}, Config{})
	wantErr(t, rec.Audit(NewContext(t.Context(), nil, origin), "x", nil, As("bob")))
}

func TestOriginSeesTheContextOfTheAudit(t *testing.T) {
	value := func(ctx context.Context) string { s, _ := ctx.Value(ctxKey{}).(string); return s }
	var event Event
	rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
		event = events[0]
		return nil
	}}, Config{})
	ctx := NewContext(t.Context(), rec, testOrigin{
		user:    func(ctx context.Context) (string, error) { return value(ctx), nil },
		request: func(ctx context.Context) *Request { return &Request{Path: value(ctx)} },
	})
	inner := context.WithValue(ctx, ctxKey{}, "set by an inner layer")
	wantErr(t, Audit(inner, "x", nil))
	if event.User != "set by an inner layer" || event.Request.Path != event.User {
		t.Errorf("stored %+v", event)
	}
}

func TestNoRecorderAtAll(t *testing.T) {
	for name, rec := range map[string]*Recorder{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			err := rec.Audit(noContext, strings.Repeat("t", 1<<20), nil)
			wantErr(t, err, ErrNoRecorder)
			if len(err.Error()) > 2*maxTagBytes || !strings.Contains(err.Error(), "Middleware") {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			if rec.Stats() != (Stats{}) || rec.Store() != nil {
				t.Errorf("%+v, %v", rec.Stats(), rec.Store())
			}
			_, err = rec.Read(noContext, Query{})
			wantErr(t, err, ErrNoRecorder)
		})
	}
	rec, err := New(nil, Config{})
	if rec != nil || err == nil || !strings.Contains(err.Error(), "stores.Open") {
		t.Errorf("New of a nil store: %v, %v", rec, err)
	}
}

// A nil pointer in the Store is a store that panics.
func TestTypedNilStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, (*testStore)(nil), Config{Timeout: time.Second})
		err := rec.Audit(t.Context(), "x", nil, As("me"))
		if err == nil || !strings.Contains(err.Error(), "Save panicked") {
			t.Errorf("error %v", err)
		}
		for what, err := range map[string]error{"Flush": rec.Flush(t.Context()), "Close": rec.Close(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), what+" panicked") {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}
