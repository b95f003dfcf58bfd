package core_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// memory is about the smallest Store there is.
type memory struct {
	mu     sync.Mutex
	known  map[uuid.UUID]bool
	events []core.Event
}

func (m *memory) Save(_ context.Context, events []core.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if !m.known[e.ID] {
			m.known[e.ID] = true
			m.events = append(m.events, e)
		}
	}
	return nil
}

func (m *memory) last() core.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events[len(m.events)-1]
}

func newMemory() *memory { return &memory{known: map[uuid.UUID]bool{}} }

// session is what an adapter puts into each request's context.
type session struct{ user string }

func (s session) User(context.Context) (string, error) { return s.user, nil }
func (s session) Request(context.Context) (*core.Request, error) {
	return &core.Request{Path: "/refund", IP: "203.0.113.9"}, nil
}

func ExampleRecorder_Audit() {
	ctx := context.Background()
	store := newMemory()
	rec, err := core.New(store, core.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rec.Close(ctx)

	// nil means that the event is durable in the store.
	if err := rec.Audit(ctx, "nightly", core.Fields{"rows": 10}, core.As("cron")); err != nil {
		fmt.Println(err)
		return
	}
	event := store.last()
	fmt.Println(event.Tag, event.User, event.Fields)
	// Output: nightly cron map[rows:10]
}

func ExampleAudit() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(context.Background())

	// An adapter's middleware does this for each request.
	ctx := core.NewContext(context.Background(), rec, session{user: "alice"})

	// Anywhere below it the context is enough.
	err := core.Audit(ctx, "refund", core.Fields{"order": 42})
	event := store.last()
	fmt.Println(err, event.User, event.Request.Path, event.Request.IP, event.Fields)
	// Output: <nil> alice /refund 203.0.113.9 map[order:42]
}

func ExampleAs() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(context.Background())
	ctx := core.NewContext(context.Background(), rec, session{user: "alice"})

	rec.Audit(ctx, "impersonate", nil, core.As("support"))
	fmt.Println(store.last().User)
	// Output: support
}

func ExampleAt() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(context.Background())

	when := time.Date(2019, 12, 5, 13, 55, 55, 636742000, time.UTC)
	rec.Audit(context.Background(), "import", core.Fields{"row": 7}, core.As("me"), core.At(when))
	fmt.Println(store.last().Time.Format(time.RFC3339Nano))
	// Output: 2019-12-05T13:55:55.636742Z
}

func ExampleOn() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(context.Background())
	ctx := core.NewContext(context.Background(), rec, session{user: "alice"})

	core.Audit(ctx, "refund", core.Fields{"amount": 900}, core.On("order", 42), core.Denied("over the limit"))
	event := store.last()
	fmt.Println(event.User, event.Target, event.Outcome, event.Reason)
	// Output: alice order/42 denied over the limit
}

func ExampleAnonymous() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{RequireUser: true})
	defer rec.Close(context.Background())
	ctx := core.NewContext(context.Background(), rec, session{user: ""})

	tried := "alice" // from the form: nobody has proved to be her
	err := core.Audit(ctx, "login", nil, core.Anonymous(), core.On("user", tried), core.Denied("wrong password"))
	event := store.last()
	fmt.Printf("%v %q %s %s\n", err, event.User, event.Target, event.Outcome)
	// Output: <nil> "" user/alice denied
}

func ExampleResult() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(context.Background())

	err := errors.New("the bank does not answer")
	rec.Audit(context.Background(), "payout", nil, core.As("cron"), core.Result(err))
	fmt.Println(store.last().Outcome, "-", store.last().Reason)
	// Output: failure - the bank does not answer
}

func ExampleOnBehalfOf() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(context.Background())

	rec.Audit(context.Background(), "address.change", nil, core.As("support"), core.OnBehalfOf("alice"))
	fmt.Println(store.last().User, "for", store.last().OnBehalfOf)
	// Output: support for alice
}

func ExampleDiff() {
	type customer struct {
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	before := customer{Name: "Alice", Email: "old@example.com"}
	after := customer{Name: "Alice", Email: "new@example.com"}
	fmt.Println(core.Diff(before, after))
	// Output: map[email:map[new:new@example.com old:old@example.com]]
}

func ExampleSecrets() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{Logger: slog.New(slog.DiscardHandler)}) // which would be warned
	defer rec.Close(context.Background())

	form := core.Fields{"name": "alice", "newPassword": "hunter2", "keys": map[string]any{"api-key": "k-123", "api_key_id": 7}}
	rec.Audit(context.Background(), "user.update", form, core.As("alice"))
	fmt.Println(store.last().Fields)
	// Output: map[keys:map[api-key:(hidden) api_key_id:7] name:alice newPassword:(hidden)]
}

func ExampleKeyed() {
	protect := []func(string, any) any{core.Secrets, core.Keyed([]byte("from a vault, 32 bytes or longer"), "ssn")}
	store := newMemory()
	rec, _ := core.New(store, core.Config{Protect: protect})
	defer rec.Close(context.Background())

	rec.Audit(context.Background(), "patient.open", core.Fields{"ssn": "078-05-1120"}, core.As("dr.no"))
	fmt.Println(store.last().Fields["ssn"])
	// Output: hmac:76f7674ef017c474da2ad2da7e8f76d8
}

func ExampleDetach() {
	store := newMemory()
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(context.Background())
	request, end := context.WithCancel(core.NewContext(context.Background(), rec, session{user: "alice"}))

	detached := core.Detach(request) // on the handler's goroutine
	done := make(chan error)
	go func() {
		<-request.Done() // the handler has returned
		done <- core.Audit(detached, "export", core.Fields{"pages": 3})
	}()
	end()
	fmt.Println(<-done, store.last().User, store.last().Request.Path)
	// Output: <nil> alice /refund
}

func ExampleRecorder_Stats() {
	rec, _ := core.New(newMemory(), core.Config{RequireUser: true})
	ctx := context.Background()
	rec.Audit(ctx, "login", nil, core.As("alice"))
	err := rec.Audit(ctx, "login", nil) // nobody
	rec.Close(ctx)

	s := rec.Stats()
	fmt.Println(err)
	fmt.Println(s.Attempted, "attempted,", s.Stored, "stored,", s.Failed, "failed,", s.Pending, "pending")
	// Output:
	// auditing "login": no user: sign in, give the middleware a SessionUser or User option, or pass core.As
	// 2 attempted, 1 stored, 1 failed, 0 pending
}

// ledger is a store with transactions.
type ledger struct{ memory }

type transaction struct{ events []core.Event }

// Join implements [core.Joiner].
func (l *ledger) Join(_ context.Context, tx any, events ...core.Event) error {
	mine, ok := tx.(*transaction)
	if !ok {
		return fmt.Errorf("a %T is no transaction of a ledger: %w", tx, errors.ErrUnsupported)
	}
	mine.events = append(mine.events, events...)
	return nil
}

func (l *ledger) commit(tx *transaction) error { return l.Save(context.Background(), tx.events) }

func ExampleIn() {
	ctx := context.Background()
	store := &ledger{*newMemory()}
	rec, _ := core.New(store, core.Config{})
	defer rec.Close(ctx)

	// With postgres.New or sqlite.New: db.Transaction(func(tx *gorm.DB) error { … postgres.In(tx) … })
	tx := &transaction{}
	err := rec.Audit(ctx, "refund", core.Fields{"amount": 9.5}, core.As("alice"), core.On("order", 42), core.In(tx))
	fmt.Println(err, len(store.events), "before the commit")
	_ = store.commit(tx)
	fmt.Println(store.last().Target, "after it,", rec.Stats().Joined, "joined")

	err = rec.Audit(ctx, "refund", nil, core.As("alice"), core.Denied("over the limit"), core.In(tx))
	fmt.Println(err != nil, "as a rollback would erase it")
	// Output:
	// <nil> 0 before the commit
	// order/42 after it, 1 joined
	// true as a rollback would erase it
}
