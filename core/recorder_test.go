package core

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// promptEnv makes every testStore a prompt one.
const promptEnv = "AUDITING_TEST_PROMPT"

func (s *testStore) Prompt() bool { return os.Getenv(promptEnv) != "" }

// TestOnThePromptPath runs all tests again with stores that are prompt, so that a
// lone audit writes itself: nobody may notice.
func TestOnThePromptPath(t *testing.T) {
	if os.Getenv(promptEnv) != "" {
		t.Skip("this is that run")
	}
	cmd := exec.Command(os.Args[0], "-test.short")
	cmd.Env = append(os.Environ(), promptEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// testStore is a Store that a test scripts. What its Save acknowledges is kept.
type testStore struct {
	onSave  func(ctx context.Context, events []Event) error // nil stores everything
	onFlush func(ctx context.Context) error
	onClose func(ctx context.Context) error

	mu      sync.Mutex
	batches [][]string // the tags of each batch, in order
	stored  map[uuid.UUID]string
	saving  int
	flushes int
	closes  int
	late    bool // closed while a Save was running
}

func (s *testStore) Save(ctx context.Context, events []Event) error {
	var tags []string
	for _, e := range events {
		tags = append(tags, e.Tag)
	}
	s.mu.Lock()
	s.batches = append(s.batches, tags)
	s.saving++
	s.mu.Unlock()
	var err error
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.saving--
	}()
	if s.onSave != nil {
		err = s.onSave(ctx, events)
	}
	var batch *BatchError
	if err != nil && (!errors.As(err, &batch) || batch == nil) {
		return err
	}
	failed := map[int]bool{}
	if batch != nil {
		for _, f := range batch.Failures {
			failed[f.Index] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stored == nil {
		s.stored = map[uuid.UUID]string{}
	}
	for i, e := range events {
		if !failed[i] {
			s.stored[e.ID] = e.Tag
		}
	}
	return err
}

func (s *testStore) Flush(ctx context.Context) error {
	s.mu.Lock()
	s.flushes++
	s.mu.Unlock()
	if s.onFlush != nil {
		return s.onFlush(ctx)
	}
	return nil
}

func (s *testStore) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closes++
	s.late = s.late || s.saving > 0
	s.mu.Unlock()
	if s.onClose != nil {
		return s.onClose(ctx)
	}
	return nil
}

func (s *testStore) saves() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

func (s *testStore) tags() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var tags []string
	for _, tag := range s.stored {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

// blocker is a Save that waits for the test to say how it ends.
type blocker struct {
	entered chan []Event
	answer  chan error
}

func newBlocker() *blocker {
	return &blocker{entered: make(chan []Event, 64), answer: make(chan error)}
}

func (b *blocker) save(_ context.Context, events []Event) error {
	b.entered <- events
	return <-b.answer
}

func newTestRecorder(t testing.TB, store Store, cfg Config) *Recorder {
	t.Helper()
	rec, err := New(store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Close(context.Background()) })
	return rec
}

// auditAsync audits on its own goroutine and gives the result.
func auditAsync(rec *Recorder, tag string, opts ...Option) <-chan error {
	result := make(chan error, 1)
	go func() {
		result <- rec.Audit(context.Background(), tag, Fields{"n": 1}, append([]Option{As("me")}, opts...)...)
	}()
	return result
}

// waiting fails the test when one of the audits has returned.
func stillWaiting(t *testing.T, results ...<-chan error) {
	t.Helper()
	synctest.Wait()
	for i, r := range results {
		select {
		case err := <-r:
			t.Fatalf("audit %d returned %v before its time", i, err)
		default:
		}
	}
}

func wantErr(t *testing.T, got error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(got, w) {
			t.Fatalf("got error %v, want one that is %v", got, w)
		}
	}
	if len(want) == 0 && got != nil {
		t.Fatalf("got error %v, want nil", got)
	}
}

// idOf returns the event's id that the error names.
func idOf(t *testing.T, err error) uuid.UUID {
	t.Helper()
	var audit *AuditError
	if !errors.As(err, &audit) {
		t.Fatalf("%v is no *AuditError", err)
	}
	return audit.ID
}

func wantStats(t *testing.T, rec *Recorder, want Stats) {
	t.Helper()
	got := rec.Stats()
	if want.Batches == 0 {
		got.Batches = 0
	}
	if got != want {
		t.Fatalf("stats %+v, want %+v", got, want)
	}
}

func TestNilMeansThatSaveReturnedNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		rec := newTestRecorder(t, &testStore{onSave: b.save}, Config{})
		result := auditAsync(rec, "refund")
		stillWaiting(t, result)
		wantStats(t, rec, Stats{Attempted: 1, Pending: 1})

		time.Sleep(time.Second) // of the bubble's clock
		stillWaiting(t, result)
		event := (<-b.entered)[0]
		if event.Tag != "refund" || event.User != "me" || event.ID.Version() != 7 || event.Request != nil || len(event.Fields) != 1 {
			t.Errorf("event %+v", event)
		}
		b.answer <- nil
		wantErr(t, <-result)
		wantStats(t, rec, Stats{Attempted: 1, Stored: 1, Batches: 1})
	})
}

func TestLoneAuditIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, &testStore{}, Config{})
		start := time.Now()
		for range 100 {
			wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("a timer delayed lone audits by %v", took)
		}
	})
}

func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBlocker()
		store := &testStore{onSave: b.save}
		rec := newTestRecorder(t, store, Config{})
		results := []<-chan error{auditAsync(rec, "0")}
		synctest.Wait()
		for i := range 50 {
			results = append(results, auditAsync(rec, fmt.Sprint(i+1)))
			synctest.Wait()
		}
		wantStats(t, rec, Stats{Attempted: 51, Pending: 51})
		b.answer <- nil
		wantErr(t, <-results[0])
		stillWaiting(t, results[1:]...)
		b.answer <- nil
		for _, r := range results[1:] {
			wantErr(t, <-r)
		}
		saves := store.saves()
		if len(saves) != 2 || len(saves[1]) != 50 {
			t.Fatalf("batches %v", saves)
		}
		for i, tag := range saves[1] {
			if tag != fmt.Sprint(i+1) {
				t.Fatalf("the order of arrival is not kept: %v", saves[1])
			}
		}
	})
}

// A caller that audits one thing after the other has them stored in that order,
// whatever else goes on.
func TestOrderOfOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &testStore{onSave: func(context.Context, []Event) error {
			time.Sleep(time.Millisecond)
			return nil
		}}
		rec := newTestRecorder(t, store, Config{})
		var wg sync.WaitGroup
		for caller := range 8 {
			wg.Go(func() {
				for i := range 30 {
					if err := rec.Audit(t.Context(), fmt.Sprintf("%d.%03d", caller, i), nil, As("me")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		last := map[string]string{}
		for _, tag := range slices.Concat(store.saves()...) {
			caller, _, _ := strings.Cut(tag, ".")
			if tag <= last[caller] {
				t.Fatalf("%s was written after %s", tag, last[caller])
			}
			last[caller] = tag
		}
	})
}

func TestBatchBounds(t *testing.T) {
	for _, tt := range []struct {
		name          string
		events, bytes int // of one batch
		values        []int
		want          []int // the sizes of the batches that follow the first
	}{
		{"events", 4, 1 << 20, make([]int, 10), []int{4, 4, 2}},
		{"bytes", 100, 32 << 10, []int{10 << 10, 10 << 10, 10 << 10, 10 << 10, 1, 1}, []int{3, 3}},
		{"one larger than a batch goes alone", 100, 32 << 10, []int{1, 40 << 10, 1, 1}, []int{1, 1, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocker()
				store := &testStore{onSave: b.save}
				rec := newTestRecorder(t, store, Config{})
				rec.queue.batchEvents, rec.queue.batchBytes = tt.events, tt.bytes
				first := auditAsync(rec, "first")
				synctest.Wait()
				var wg sync.WaitGroup
				for _, n := range tt.values {
					wg.Go(func() {
						if err := rec.Audit(t.Context(), "x", Fields{"v": strings.Repeat("v", n)}, As("me")); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
				}
				close(b.answer)
				wg.Wait()
				wantErr(t, <-first)
				var sizes []int
				for _, batch := range store.saves()[1:] {
					sizes = append(sizes, len(batch))
				}
				if !slices.Equal(sizes, tt.want) {
					t.Errorf("batches of %v events, want %v", sizes, tt.want)
				}
			})
		})
	}
}

func TestDefaultBounds(t *testing.T) {
	want := bounds{waitingEvents: 65_536, waitingBytes: 64 << 20, batchEvents: 10_000, batchBytes: 8 << 20}
	if got := newRecorder(&testStore{}, Config{}).queue.bounds; got != want {
		t.Errorf("bounds %+v, want %+v", got, want)
	}
}

// readStore can be read.
type readStore struct {
	testStore
	read func(ctx context.Context, q Query) (Page, error)
}

func (s *readStore) Read(ctx context.Context, q Query) (Page, error) { return s.read(ctx, q) }

func TestRead(t *testing.T) {
	store := &readStore{}
	rec := newTestRecorder(t, store, Config{})
	store.read = func(ctx context.Context, q Query) (Page, error) {
		if ctx == nil {
			t.Error("the store was given a nil context")
		}
		return Page{Next: q.Tag}, errStore
	}
	page, err := rec.Read(noContext, Query{Tag: "refund"})
	wantErr(t, err, errStore)
	if page.Next != "refund" || rec.Store() != Store(store) {
		t.Errorf("page %+v of %v", page, rec.Store())
	}
	store.read = func(context.Context, Query) (Page, error) { panic("no") }
	if _, err := rec.Read(t.Context(), Query{}); err == nil || !strings.Contains(err.Error(), "Read panicked: no") {
		t.Errorf("error %v", err)
	}
	_, err = newTestRecorder(t, &testStore{}, Config{}).Read(t.Context(), Query{})
	wantErr(t, err, errors.ErrUnsupported)
	if !strings.Contains(err.Error(), "*core.testStore") {
		t.Errorf("%v does not name the store", err)
	}
}

// tagged is a store that lists tags.
type tagged struct {
	testStore
	tags func() ([]string, error)
}

func (s *tagged) Tags(context.Context) ([]string, error) { return s.tags() }

func TestTags(t *testing.T) {
	store := &tagged{tags: func() ([]string, error) { return []string{"a"}, errStore }}
	rec := newTestRecorder(t, store, Config{})
	tags, err := rec.Tags(noContext)
	wantErr(t, err, errStore)
	if !slices.Equal(tags, []string{"a"}) {
		t.Errorf("the tags beside the error are %q", tags)
	}
	store.tags = func() ([]string, error) { panic("no") }
	if _, err := rec.Tags(t.Context()); err == nil || !strings.Contains(err.Error(), "Tags panicked: no") {
		t.Errorf("error %v", err)
	}
	_, err = newTestRecorder(t, &testStore{}, Config{}).Tags(t.Context())
	wantErr(t, err, errors.ErrUnsupported)
	_, err = (*Recorder)(nil).Tags(t.Context())
	wantErr(t, err, ErrNoRecorder)
}

// hangs marks a test whose Save ignores its ctx: no prompt store does.
func hangs(t *testing.T) {
	t.Helper()
	if os.Getenv(promptEnv) != "" {
		t.Skip("Save ignores its ctx here")
	}
}

// panicky is a store that cannot say how it wants to be written to, as a typed nil.
type panicky struct{ Store }

func (p *panicky) Prompt() bool { return p.Store != nil }

func TestATypedNilIsNoStore(t *testing.T) {
	var store *panicky
	rec, err := New(store, Config{})
	if rec != nil || err == nil || !strings.Contains(err.Error(), "nil that came with an error") {
		t.Errorf("New gave %v, %v; want an error that names the fix", rec, err)
	}
}

// TestLookupTakesTheAuditsTime: an origin that does not answer is not blamed on the store.
func TestLookupTakesTheAuditsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newTestRecorder(t, &testStore{}, Config{Timeout: 50 * time.Millisecond})
		began := time.Now()
		err := Audit(NewContext(t.Context(), rec, testOrigin{user: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "late", nil
		}}), "x", nil)
		if took := time.Since(began); took != 50*time.Millisecond {
			t.Errorf("Audit took %v, want the audit's time", took)
		}
		if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "looking up who acts") {
			t.Errorf("got %v, want a timeout that names the lookup", err)
		}
		if s := rec.Stats(); s.Failed != 1 || s.Attempted != 1 {
			t.Errorf("stats %+v, want one failed", s)
		}
	})
}
