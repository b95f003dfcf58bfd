package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/auditing-go/auditing/core/internal/values"
)

// DefaultTimeout is how long an audit may take when [Config.Timeout] is not set.
const DefaultTimeout = 5 * time.Second

// Config sets up a [Recorder]. Its zero value works.
type Config struct {
	// Timeout is how long one audit may take, retries included. Defaults to [DefaultTimeout].
	Timeout time.Duration
	// RequireUser makes an audit without a user return [ErrNoUser] instead of
	// being cancelled.
	RequireUser bool
	// MaxEventBytes is how large one event may be before its largest values are
	// cut and marked. Defaults to [DefaultMaxEventBytes].
	MaxEventBytes int
	// Durability says for each tag what its audits' return means. It must be safe for
	// concurrent use and quick. Defaults to [Durable] for every tag; it is not asked for [TagRead].
	Durability func(tag string) Durability
	// Service names the program in each of its events.
	Service string
	// Tenant says whose event it is, from what the context of the audit holds. An error or a
	// panic fails the audit. It must be safe for concurrent use. Its context has a deadline,
	// and an answer that comes after that fails the audit.
	Tenant func(ctx context.Context) (string, error)
	// Enrich changes an event before it is normalised: fields, a tenant, a target, spelled as
	// [On] does. The map of its Fields is the event's own. ID, User, OnBehalfOf and Service stay
	// as they are. It is called after Tenant, and what it adds is protected. A panic,
	// and taking longer than the audit may, fail the audit. It runs on a goroutine of its own
	// and must be safe for concurrent use.
	Enrich func(ctx context.Context, e *Event)
	// Protect hides what must not be stored: nil is [Secrets], an empty slice nothing. Functions
	// of your own take the place of Secrets, so name it too:
	//
	//	Protect: []func(string, any) any{core.Secrets, core.Hidden("pin"), core.Keyed(key, "iban")}
	//
	// They get every named value of an event's fields, at every depth and normalised as [Fields]
	// lists, what is inside before what is around it, and lists whole; the id of a target, with
	// the target's kind; and the reason, with the name "reason". Tag, users and the request's
	// facts are not asked for. The first function that returns something else decides: that takes
	// the value's place before the store, its spool, a log or an error sees it. It must not change
	// a map or a slice that it is given. A function that panics hides the value.
	//
	// [Query.Fields], [Query.Target] and [Query.Reason] go the same way when [Recorder.Read] is
	// called; to ask for a value that is hidden, not keyed, is [ErrHidden].
	Protect []func(name string, v any) any
	// Lifecycle audits the start of the recorder as "audit.start", with the type of the store
	// and the library's version, and its end as "audit.stop", with [Stats] (PCI DSS 10.2.1.6).
	// They are [BestEffort], but Close waits for the second.
	Lifecycle bool
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// Recorder turns audits into events and waits until they are durable. Audits that
// wait at the same moment share one write of the store. It is safe for concurrent
// use. Make it with [New] and end it with [Recorder.Close].
type Recorder struct {
	store Store
	cfg   Config

	// base ends when Close gives up on the writes that are still under way.
	base   context.Context
	cancel context.CancelFunc

	calls  sync.Pool // of *call
	start  func()    // r.write, bound once so that starting it allocates nothing
	prompt bool      // the store is a Prompter and says so
	out    outbox

	mu        sync.Mutex
	queue     queue
	expiry    time.Time // when timer runs expire; zero when it does not
	timer     *time.Timer
	joins     []*call       // that write in transactions of their callers
	writing   bool          // the writer runs
	pause     pause         // while the store seems to be away
	pauses    int           // how often in a row
	wake      chan struct{} // tells the writer that there is something new
	closed    bool          // no audit is taken any more
	stopped   chan struct{} // made by Close, closed when it is through
	idle      chan struct{} // made by Close, closed when nothing is written any more
	stats     Stats
	cancelled cancelWarning
	lost      lostReport

	protect  values.Protect // of Config.Protect; nil is none
	hidden   onceNames      // under which something was hidden
	reserved onceNames      // tags that an application should not use
}

// New returns a recorder that writes to store. [Recorder.Close] closes the store
// when it is a [Closer].
func New(store Store, cfg Config) (*Recorder, error) {
	if store == nil {
		return nil, errors.New("auditing: the store is nil: pass one from stores.Open or from a store's New")
	}
	r := newRecorder(store, cfg)
	if err := r.ask(store); err != nil {
		return nil, fmt.Errorf("auditing: %w: is it the nil that came with an error?", err)
	}
	anyRecorder.Store(true)
	if cfg.Lifecycle {
		r.auditStart()
	}
	return r, nil
}

// ask lets the store say how it wants to be written to. A store that panics, as a
// typed nil does, is no store.
func (r *Recorder) ask(store Store) (err error) {
	defer recovered(fmt.Sprintf("asking the store, a %T,", store), &err)
	if p, ok := store.(Prompter); ok {
		r.prompt = p.Prompt()
	}
	return nil
}

func newRecorder(store Store, cfg Config) *Recorder {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxEventBytes <= 0 {
		cfg.MaxEventBytes = DefaultMaxEventBytes
	}
	r := &Recorder{store: store, cfg: cfg, queue: queue{bounds: defaultBounds}, wake: make(chan struct{}, 1)}
	r.base, r.cancel = context.WithCancel(context.Background())
	r.calls.New = func() any { return &call{done: make(chan struct{}, 1)} }
	r.start = r.write
	r.protect = r.protector()
	return r
}

// Store returns the store that New was given, nil for a nil Recorder.
func (r *Recorder) Store() Store {
	if r == nil {
		return nil
	}
	return r.store
}

// Audit records that the acting user did what tag says, with fields. The user is
// the one named by [As], else the one that ctx's [Origin] knows.
//
// nil means that the event is durable in the store, or that it was cancelled
// because nobody could be identified (see [Config.RequireUser]). Every error is an
// [*AuditError]. The audit neither ends with ctx nor outlasts its own time. Of a
// tag that [Config.Durability] makes [BestEffort], nil means that the event waits.
func (r *Recorder) Audit(ctx context.Context, tag string, fields Fields, opts ...Option) error {
	s, ctx, err := find(ctx)
	if err != nil {
		return r.fail(tag, err)
	}
	return r.audit(ctx, s, tag, fields, opts)
}

func (r *Recorder) audit(ctx context.Context, s *scope, tag string, fields Fields, opts []Option) error {
	if r == nil || r.store == nil {
		return r.fail(tag, ErrNoRecorder)
	}
	now := time.Now()
	o := auditOptions{within: r.cfg.Timeout}
	if len(opts) > 0 {
		o = r.options(opts)
	}
	request, err := r.identify(ctx, s, &o, now)
	if err == nil && o.nobody() {
		if err = r.cancelAudit(tag); err == nil {
			return nil
		}
	}
	if err != nil {
		return r.fail(tag, err)
	}
	if o.in != nil {
		e, err := r.joining(ctx, tag, fields, &o, request, now)
		if err != nil {
			return r.fail(tag, err)
		}
		return r.join(ctx, &o, now, e)
	}
	c := r.calls.Get().(*call)
	if err := r.fill(ctx, c, tag, fields, &o, request, now); err != nil {
		c.event = Event{}
		r.calls.Put(c)
		return r.fail(tag, err)
	}
	c.bestEffort = r.durability(tag) == BestEffort
	return r.wait(c, o.within == r.cfg.Timeout)
}

// identify finds out who acts and from where, unless the options say that they cannot be.
func (r *Recorder) identify(ctx context.Context, s *scope, o *auditOptions, now time.Time) (*Request, error) {
	if o.err != nil || s == nil || s.origin == nil {
		return nil, o.err
	}
	request, err := o.ask(ctx, s.origin)
	if err == nil && time.Since(now) >= o.within {
		err = fmt.Errorf("looking up who acts took all of the audit's time: %w", ErrTimeout)
	}
	return request, err
}

// fill makes the event of an audit, as a store gets it, in c.
func (r *Recorder) fill(ctx context.Context, c *call, tag string, fields Fields, o *auditOptions, request *Request, now time.Time) error {
	if isReserved(tag) {
		r.warnReserved(tag)
	}
	at := o.at
	if at.IsZero() {
		at = now
	}
	c.event = Event{
		ID: newID(now), Tag: tag, User: o.user, OnBehalfOf: o.onBehalfOf, Target: o.target, Outcome: o.outcome, Reason: o.reason,
		Service: r.cfg.Service, Time: at, Request: request, Fields: fields, First: true,
	}
	c.deadline = now.Add(o.within)
	if r.cfg.Tenant != nil || r.cfg.Enrich != nil {
		if err := r.enrich(ctx, c); err != nil {
			return err
		}
	}
	r.protectFacts(&c.event)
	c.size = c.event.normalize(r.cfg.MaxEventBytes, r.protect)
	return nil
}

func (r *Recorder) options(opts []Option) auditOptions {
	var o auditOptions
	for _, opt := range opts {
		o.add(opt)
	}
	if o.within <= 0 || o.within > r.cfg.Timeout {
		o.within = r.cfg.Timeout
	}
	return o
}

// impersonator is an Origin that knows who acts as the user.
type impersonator interface {
	Impersonator(ctx context.Context) (string, error)
}

// ask asks the origin who acts and for whom, unless the options say so, and from where. It
// has the audit's time and not the request's: the audit of a client that has left must not
// fail for that.
func (o *auditOptions) ask(ctx context.Context, origin Origin) (*Request, error) {
	ctx = context.WithoutCancel(ctx)
	if o.within < DefaultTimeout { // else the origin knows its time without a context's cost
		bounded, cancel := context.WithTimeout(ctx, o.within)
		defer cancel()
		ctx = bounded
	}
	if o.user == "" {
		user, behalf, err := whoOf(ctx, origin)
		if err != nil {
			return nil, err
		}
		o.user = user
		if o.onBehalfOf == "" {
			o.onBehalfOf = behalf
		}
	}
	if o.user == "" && !o.anonymous {
		return nil, nil
	}
	return requestOf(ctx, origin)
}

// whoOf asks the origin who acts and for whom.
func whoOf(ctx context.Context, origin Origin) (user, onBehalfOf string, err error) {
	if user, err = userOf(ctx, origin); err != nil {
		return "", "", err
	}
	if actor, err := impersonatorOf(ctx, origin); err != nil {
		return "", "", err
	} else if actor != "" && actor != user {
		return actor, user, nil
	}
	return user, "", nil
}

// userOf, impersonatorOf and requestOf ask the origin. A panic in the application's own functions
// is an error: it must not pass for nobody.
func userOf(ctx context.Context, origin Origin) (user string, err error) {
	defer recovered("determining the user", &err)
	return origin.User(ctx)
}

func impersonatorOf(ctx context.Context, origin Origin) (actor string, err error) {
	i, ok := origin.(impersonator)
	if !ok {
		return "", nil
	}
	defer recovered("determining the impersonator", &err)
	return i.Impersonator(ctx)
}

func requestOf(ctx context.Context, origin Origin) (request *Request, err error) {
	defer recovered("describing the request", &err)
	return origin.Request(ctx)
}

// recovered, when deferred, turns a panic of somebody else's code into *err.
func recovered(what string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s panicked: %v", what, p)
	}
}

// wait queues c and returns when it is settled, whichever way. full says that it
// has all the time there is.
func (r *Recorder) wait(c *call, full bool) error {
	id, tag := c.event.ID, c.event.Tag
	r.mu.Lock()
	r.stats.Attempted++
	if err := r.enqueue(c); err != nil {
		r.stats.Failed++
		r.mu.Unlock()
		c.event = Event{}
		r.calls.Put(c)
		return &AuditError{ID: id, Tag: tag, Err: err}
	}
	start := !r.writing
	itself := full && !c.bestEffort && r.prompt && r.pauses == 0
	r.writing = true
	r.mu.Unlock()
	if start {
		r.begin(itself)
	}
	if c.bestEffort {
		return nil
	}
	<-c.done
	err := c.err
	if c.state != abandoned {
		*c = call{done: c.done}
		r.calls.Put(c)
	}
	if err != nil {
		return &AuditError{ID: id, Tag: tag, Err: err}
	}
	return nil
}

// Read asks the store for one page of events. An error may stand beside what can be
// read, see [Reader]; of a store that cannot read it is [errors.ErrUnsupported]. To ask for
// a value that [Config.Protect] hides is [ErrHidden].
func (r *Recorder) Read(ctx context.Context, q Query) (page Page, err error) {
	if r == nil || r.store == nil {
		return Page{}, ErrNoRecorder
	}
	reader, ok := r.store.(Reader)
	if !ok {
		return Page{}, fmt.Errorf("auditing: %T cannot be read: %w", r.store, errors.ErrUnsupported)
	}
	if ctx, err = usable(ctx); err != nil {
		return Page{}, err
	}
	if r.protect != nil {
		if q, err = q.protected(r.protect); err != nil {
			return Page{}, err
		}
	}
	defer recovered("auditing: the store's Read", &err)
	return reader.Read(ctx, q)
}

// Tags asks the store for the tags of what it keeps, sorted; see [TagLister]. Of a store that
// is none it is [errors.ErrUnsupported].
func (r *Recorder) Tags(ctx context.Context) (tags []string, err error) {
	if r == nil || r.store == nil {
		return nil, ErrNoRecorder
	}
	lister, ok := r.store.(TagLister)
	if !ok {
		return nil, fmt.Errorf("auditing: %T does not list tags: %w", r.store, errors.ErrUnsupported)
	}
	if ctx, err = usable(ctx); err != nil {
		return nil, err
	}
	defer recovered("auditing: the store's Tags", &err)
	return lister.Tags(ctx)
}

// fail counts an audit that failed before there was an event, and returns its error.
func (r *Recorder) fail(tag string, err error) error {
	if r != nil && r.store != nil {
		r.mu.Lock()
		r.stats.Attempted++
		r.stats.Failed++
		r.mu.Unlock()
	}
	return &AuditError{Tag: values.Cut(tag, maxTagBytes), Err: err}
}

// Logger returns the logger of [Config], or [slog.Default], for warnings of adapters.
func (r *Recorder) Logger() *slog.Logger {
	if r == nil {
		return slog.Default()
	}
	return r.logger()
}

func (r *Recorder) logger() *slog.Logger {
	if r.cfg.Logger != nil {
		return r.cfg.Logger
	}
	return slog.Default()
}
