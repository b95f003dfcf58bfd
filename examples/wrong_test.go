package examples

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// handle has handler answer one request of somebody whom option knows.
func handle(rec *core.Recorder, option nethttpaudit.Option, handler http.HandlerFunc) {
	r := httptest.NewRequest(http.MethodPost, "/refund", nil)
	nethttpaudit.Middleware(rec, option)(handler).ServeHTTP(httptest.NewRecorder(), r)
}

// refundBy audits in a request of somebody whom option knows.
func refundBy(rec *core.Recorder, option nethttpaudit.Option) (err error) {
	handle(rec, option, func(_ http.ResponseWriter, r *http.Request) { err = nethttpaudit.Audit(r, "refund", nil) })
	return err
}

func signed(user string) nethttpaudit.Option {
	return nethttpaudit.User(func(*http.Request) (string, error) { return user, nil })
}

func nobody(t *testing.T) (core.Stats, error) {
	var log strings.Builder
	s := &shelf{}
	strict := recorder(t, s, core.Config{RequireUser: true})
	if err := refundBy(strict, signed("")); !errors.Is(err, core.ErrNoUser) || counted(t, strict.Stats()) != "`Failed`" {
		t.Errorf("with RequireUser it is %v and %+v", err, strict.Stats())
	}
	rec := recorder(t, s, core.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	err := refundBy(rec, signed(""))
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "tags=[refund]") {
		t.Errorf("the log says %q", log.String())
	}
	s.want(t, 0)
	return rec.Stats(), err
}

// brokenSessions is a session store that cannot be reached.
type brokenSessions struct{}

func (brokenSessions) Get(*http.Request, string) (*sessions.Session, error) { return nil, errLookup }
func (brokenSessions) New(*http.Request, string) (*sessions.Session, error) { return nil, errLookup }
func (brokenSessions) Save(*http.Request, http.ResponseWriter, *sessions.Session) error {
	return errLookup
}

// oddSessions is one whose sessions hold a user of a type that names nobody.
type oddSessions struct{ brokenSessions }

func (s oddSessions) Get(*http.Request, string) (*sessions.Session, error) {
	session := sessions.NewSession(s, "session")
	session.Values["user"] = struct{ ID int }{42}
	return session, nil
}

func lookupFails(t *testing.T) (core.Stats, error) {
	s := &shelf{}
	rec := recorder(t, s, core.Config{})
	if err := refundBy(rec, nethttpaudit.SessionUser(brokenSessions{}, "session")); describe(err) != "its error" {
		t.Errorf("a session store that is down is %v", err)
	}
	if err := refundBy(rec, nethttpaudit.SessionUser(oddSessions{}, "session")); err == nil {
		t.Error("a value that is no user passes for nobody")
	}
	panics := nethttpaudit.User(func(*http.Request) (string, error) { panic(errLookup) })
	if err := refundBy(rec, panics); err == nil || !strings.Contains(err.Error(), errLookup.Error()) {
		t.Errorf("a lookup that panics is %v", err)
	}
	err := refundBy(rec, nethttpaudit.User(func(*http.Request) (string, error) { return "", errLookup }))
	if n := rec.Stats(); n.Failed != 4 {
		t.Errorf("the four audits count as %+v", n)
	}
	s.want(t, 0)
	return rec.Stats(), err
}

func clientGone(t *testing.T) (core.Stats, error) {
	s := &shelf{}
	rec := recorder(t, s, core.Config{})
	entered, audited := make(chan struct{}), make(chan error, 1)
	server := httptest.NewServer(nethttpaudit.Middleware(rec, signed("alice"))(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		audited <- nethttpaudit.Audit(r, "refund", nil)
	})))
	defer server.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	go func() { <-entered; hangUp() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := server.Client().Do(r); err == nil {
		response.Body.Close()
		t.Fatal("the client did not hang up")
	}
	err = <-audited
	s.want(t, 1)
	return rec.Stats(), err
}

// timed audits and says how long that took in the time of synctest.
func timed(rec *core.Recorder, opts ...core.Option) (time.Duration, error) {
	start := time.Now()
	err := rec.Audit(context.Background(), "refund", nil, append(opts, core.As("alice"))...)
	return time.Since(start), err
}

// away is what a store says that cannot be reached.
func away(events []core.Event) error {
	return core.FailAll(len(events), core.Failure{Err: errStore, Retry: true})
}

func storeAway(t *testing.T) (core.Stats, error) {
	back := time.Now().Add(2 * time.Second)
	s := &shelf{answer: func(events []core.Event) error {
		if time.Now().Before(back) {
			return away(events)
		}
		return nil
	}}
	rec := recorder(t, s, core.Config{})
	took, err := timed(rec)
	if took < 2*time.Second || rec.Stats().Batches < 2 {
		t.Errorf("it took %v and %d attempts", took, rec.Stats().Batches)
	}
	s.want(t, 1)
	return rec.Stats(), err
}

func storeDown(t *testing.T) (core.Stats, error) {
	s := &shelf{answer: away}
	wantTimeout := func(rec *core.Recorder, want time.Duration, opts ...core.Option) error {
		t.Helper()
		took, err := timed(rec, opts...)
		if took != want || !errors.Is(err, core.ErrTimeout) {
			t.Errorf("after %v it is %v, want ErrTimeout after %v", took, err, want)
		}
		return err
	}
	_ = wantTimeout(recorder(t, s, core.Config{Timeout: 3 * time.Second}), 3*time.Second)
	_ = wantTimeout(recorder(t, s, core.Config{}), 2*time.Second, core.Within(2*time.Second))
	rec := recorder(t, s, core.Config{})
	err := wantTimeout(rec, 5*time.Second)
	s.want(t, 0)
	return rec.Stats(), err
}

// silent is a store that answers nothing until it is told what; once the channel
// is closed it stores all.
func silent() (s *shelf, answer chan error) {
	answer = make(chan error)
	return &shelf{answer: func([]core.Event) error { return <-answer }}, answer
}

func noAnswer(t *testing.T) (core.Stats, error) {
	for want, late := range map[string]error{"`Stored`": nil, "`Failed`": core.FailAll(1, core.Failure{Err: errStore})} {
		s, answer := silent()
		rec := recorder(t, s, core.Config{})
		if _, err := timed(rec); !errors.Is(err, core.ErrUnknown) {
			t.Errorf("the store does not answer, and the error is %v", err)
		}
		answer <- late
		synctest.Wait()
		if got := counted(t, rec.Stats()); got != want {
			t.Errorf("after the late answer %v it counts as %s, want %s", late, got, want)
		}
	}
	attempts := 0
	broken := &shelf{answer: func(events []core.Event) error {
		if attempts++; attempts == 1 {
			return core.FailAll(len(events), core.Failure{Err: errStore, Retry: true, Unknown: true})
		}
		return away(events)
	}}
	if took, err := timed(recorder(t, broken, core.Config{})); took != 5*time.Second || !errors.Is(err, core.ErrUnknown) {
		t.Errorf("the connection broke in mid-write and the store stays away, and after %v the error is %v", took, err)
	}
	s, answer := silent()
	rec := recorder(t, s, core.Config{})
	took, err := timed(rec)
	if took != 5*time.Second {
		t.Errorf("it took %v, want 5s", took)
	}
	stats := rec.Stats()
	close(answer)
	synctest.Wait()
	if audit, ok := errors.AsType[*core.AuditError](err); !ok || s.kept[audit.ID].Tag != "refund" {
		t.Errorf("%v does not hold the event's ID", err)
	}
	return stats, err
}

// in starts an audit and returns when it waits.
func in(rec *core.Recorder, fields core.Fields) (result chan error) {
	result = make(chan error, 1)
	go func() { result <- rec.Audit(context.Background(), "refund", fields, core.As("alice")) }()
	synctest.Wait()
	return result
}

func queueFull(t *testing.T) (core.Stats, error) {
	// The race detector allows no 65,536 goroutines; core's own tests know that bound.
	if len(raceFlag) == 0 {
		const most = 65_536
		s, answer := silent()
		rec := recorder(t, s, core.Config{Timeout: time.Hour})
		for range most {
			go func() {
				if _, err := timed(rec); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if n := rec.Stats(); n.Pending != most {
			t.Errorf("of %d events %d wait", most, n.Pending)
		}
		if _, err := timed(rec); !errors.Is(err, core.ErrQueueFull) {
			t.Errorf("one more is %v", err)
		}
		close(answer)
	}
	const size, overhead, bound = 1_000_000, 1_000, 64 << 20
	s, answer := silent()
	rec := recorder(t, s, core.Config{})
	large := core.Fields{"text": strings.Repeat("x", size)}
	var waiting []chan error
	for range bound / (size + overhead) {
		waiting = append(waiting, in(rec, large))
	}
	if n := rec.Stats(); n.Pending != uint64(len(waiting)) {
		t.Errorf("of %d large events %d wait", len(waiting), n.Pending)
	}
	start := time.Now()
	var err error
	for len(waiting) <= bound/size {
		result := in(rec, large)
		if n := rec.Stats(); n.Failed > 0 {
			err = <-result
			break
		}
		waiting = append(waiting, result)
	}
	if took := time.Since(start); took != 0 {
		t.Errorf("it was refused after %v", took)
	}
	close(answer)
	for _, result := range waiting {
		if err := <-result; err != nil {
			t.Errorf("one that waited: %v", err)
		}
	}
	s.want(t, len(waiting))
	return rec.Stats(), err
}

func oneRefused(t *testing.T) (core.Stats, error) {
	s, first := silent()
	rec := recorder(t, s, core.Config{})
	collecting := in(rec, nil)
	neighbour, poisoned, other := in(rec, nil), in(rec, core.Fields{"poison": true}), in(rec, nil)
	s.answer = func(events []core.Event) error {
		batch := &core.BatchError{}
		for i, e := range events {
			if e.Fields["poison"] != nil {
				batch.Failures = append(batch.Failures, core.Failure{Index: i, Err: errStore})
			}
		}
		if len(events) != 3 || len(batch.Failures) != 1 {
			t.Errorf("a batch is %+v", events)
		}
		return batch
	}
	close(first)
	for _, result := range []chan error{collecting, neighbour, other} {
		if err := <-result; err != nil {
			t.Errorf("another of the batch: %v", err)
		}
	}
	s.want(t, 3)
	return rec.Stats(), <-poisoned
}

func lasting(t *testing.T) (core.Stats, error) {
	s := &shelf{answer: func(events []core.Event) error {
		return core.FailAll(len(events), core.Failure{Err: errStore, Retry: true, Lasting: true})
	}}
	rec := recorder(t, s, core.Config{})
	took, err := timed(rec)
	if took != 0 {
		t.Errorf("it failed after %v", took)
	}
	return rec.Stats(), err
}

func shutdownBegins(t *testing.T) (core.Stats, error) {
	// A context that ends first.
	s, answer := silent()
	rec := recorder(t, s, core.Config{})
	written, queued := in(rec, nil), in(rec, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	err := rec.Close(ctx)
	if took := time.Since(start); took < time.Second || took >= 2*time.Second {
		t.Errorf("Close returns after %v, its context ends after 1s", took)
	}
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 events not stored, 1 unknown") {
		t.Errorf("Close says %v", err)
	}
	if a, b := describe(<-written), describe(<-queued); a != "`core.ErrUnknown`" || b != "`core.ErrClosed`" {
		t.Errorf("the audits that were given up are %s and %s", a, b)
	}
	close(answer)

	// A context that allows to wait.
	s, answer = silent()
	rec = recorder(t, s, core.Config{})
	audit := in(rec, nil)
	closed := make(chan error, 1)
	go func() { closed <- rec.Close(context.Background()) }()
	synctest.Wait()
	if len(audit) > 0 || len(closed) > 0 {
		t.Error("nobody waits for the store")
	}
	close(answer)
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	s.want(t, 1)
	return rec.Stats(), <-audit
}

func shutdownOver(t *testing.T) (core.Stats, error) {
	s := &shelf{}
	rec := recorder(t, s, core.Config{})
	if err := rec.Close(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := timed(rec)
	s.want(t, 0)
	return rec.Stats(), err
}

func handlerReturned(t *testing.T) (core.Stats, error) {
	s := &shelf{}
	rec := recorder(t, s, core.Config{})
	var late *http.Request
	var detached context.Context
	handle(rec, signed("alice"), func(_ http.ResponseWriter, r *http.Request) {
		late, detached = r, nethttpaudit.Detach(r)
	})
	if err := core.Audit(detached, "refund", nil); err != nil {
		t.Errorf("with a detached context: %v", err)
	}
	err := nethttpaudit.Audit(late, "refund", nil)
	s.want(t, 1)
	for _, e := range s.kept {
		if e.User != "alice" || e.Request.Path != "/refund" {
			t.Errorf("what was audited with the detached context is %+v", e)
		}
	}
	return rec.Stats(), err
}

func noMiddleware(t *testing.T) (core.Stats, error) {
	s := &shelf{}
	rec := recorder(t, s, core.Config{})
	r := httptest.NewRequest(http.MethodPost, "/refund", nil)
	err := nethttpaudit.Audit(r, "refund", nil, core.As("alice"))
	for _, what := range []string{"Middleware", "core.SetDefault"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v does not name %s", err, what)
		}
	}
	stats := rec.Stats()
	core.SetDefault(rec)
	defer core.SetDefault(nil)
	if err := nethttpaudit.Audit(r, "refund", nil, core.As("alice")); err != nil {
		t.Errorf("with a default recorder: %v", err)
	}
	s.want(t, 1)
	return stats, err
}
