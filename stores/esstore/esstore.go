// Package esstore keeps audits in Elasticsearch 7.17, 8 and 9 and in OpenSearch 2 and
// 3. Importing it registers the drivers "elasticsearch" and "opensearch"; both ask the
// server which of the two it is. The package needs nothing but net/http.
//
//	store, err := stores.Open(ctx, "elasticsearch", "http://127.0.0.1:9200/audits")
//
// # Where an event goes
//
// One event is one document, created under the event's id, so that writing it again
// never makes a second one. Its fields have the names of the Elastic Common Schema:
// @timestamp, event.action (the tag) and event.id, user.name, source.ip, url.path,
// url.domain, http.request.method, http.request.id, user_agent.original; and tag.
// username, datetime, path, host and ip are aliases of them. What a caller gave as
// fields stands there twice:
//
//   - audit.fields: every value exactly, not indexed, so that nothing in it can be refused
//   - labels: as far as it can be searched, every value by its text, at most 1 KiB of
//     it: labels.order: 42
//
// A document that the server refuses all the same is written again without labels and
// with audit.unsearchable set. What is refused even then goes to the dead-letter index
// (the index's name and "-dead-letter") with the server's reason and the event as one
// text; it counts as stored, [Store.Stats] counts it apart, and Read returns it.
//
// # Index, alias, data stream, one index a month
//
// The index of the DSN may be an index, a data stream, or an alias with a write index:
// the template covers what rollover calls audits-000001 and so on.
// [Config.Route] spreads events over several indices by a function of the event;
// [Monthly] is one. An id is unique within one index: behind an alias with rollover or
// in a data stream, an event that is written again after a rollover stands there
// twice, in two backing indices. Read gives it once; a search of your own may see both.
// A Route has to give the same event the same name every time, for the same reason.
//
// # What is not run by this package's tests
//
// They run on the servers' own integration-test distributions, which have no ILM, no
// security, and in Elasticsearch 7.17 no data streams: API keys, roles and TLS are tested
// with a proxy in front of a real server.
package esstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

func init() {
	for _, name := range []string{"elasticsearch", "opensearch"} {
		stores.Register(name, func(ctx context.Context, dsn string) (core.Store, error) {
			return Open(ctx, dsn, Config{})
		})
	}
}

const (
	// DefaultIndex is the index when neither DSN nor Config names one.
	DefaultIndex = "audits"
	// DefaultMaxBytes is how large the body of one request may be, in bytes.
	DefaultMaxBytes = 5 << 20
	// DefaultTimeout is how long one request may take.
	DefaultTimeout = 10 * time.Second
)

// Config sets up a store. Its zero value works.
type Config struct {
	// Index is the index, alias or data stream to write to. Defaults to [DefaultIndex].
	Index string
	// Route gives the name to write an event to: Index itself, or Index followed by "-"
	// and more, which the template covers too; anything else is taken for Index. It
	// must be safe for concurrent use and always give the same event the same name.
	// Nil writes everything to Index.
	Route func(core.Event) string
	// DeadLetter is the index for what the server refuses. Defaults to Index and "-dead-letter".
	DeadLetter string
	// DataStream makes the template one of a data stream, which the server then
	// creates under the name Index. It cannot be combined with Route. What one program
	// has made a data stream is one for all that write to it.
	DataStream bool
	// NoTemplate installs no index template, and only warns when there is none.
	NoTemplate bool
	// MaxBytes bounds the body of one request, in bytes, unless a single event is
	// larger. Defaults to [DefaultMaxBytes].
	MaxBytes int
	// Timeout bounds one request. Defaults to [DefaultTimeout]; when less time is left
	// a request gets half of what is left, so that there is time for another one.
	Timeout time.Duration
	// Gzip compresses the bodies of the requests that write.
	Gzip bool
	// Logger receives warnings; never values. Defaults to [slog.Default].
	Logger *slog.Logger
}

// Client sends one request to one of the cluster's nodes; the request's URL has only
// path and query. It has to be safe for concurrent use. *elasticsearch.Client of
// go-elasticsearch 7 to 9, *elastictransport.Client and *opensearch.Client of
// opensearch-go have this method. Those of go-elasticsearch talk to no OpenSearch, and
// New then fails; the other two talk to either server.
type Client interface {
	Perform(*http.Request) (*http.Response, error)
}

// Stats counts what a store did since it was opened.
type Stats struct {
	// Stored is how many events were acknowledged, each Save counted. The two below
	// are part of it.
	Stored int64
	// Unsearchable is how many of them the server took only without labels.
	Unsearchable int64
	// DeadLettered is how many of them went to the dead-letter index.
	DeadLettered int64
	// Failed is how many events were not acknowledged, each Save counted.
	Failed int64
	// Requests is how many requests wrote.
	Requests int64
}

// Store writes to and reads from one cluster. It is safe for concurrent use.
type Store struct {
	client Client
	cfg    Config
	own    *httpClient // nil when the client is the application's

	// base ends when Close gives up on the Saves that are still under way.
	base   context.Context
	cancel context.CancelFunc
	mu     sync.RWMutex // held for reading by whatever uses the client
	closed atomic.Bool

	pause  pause
	health health
	whole  whole
	count  struct {
		stored, unsearchable, deadLettered, failed, requests atomic.Int64
	}
}

var (
	_ core.Store     = (*Store)(nil)
	_ core.Reader    = (*Store)(nil)
	_ core.TagLister = (*Store)(nil)
	_ core.Flusher   = (*Store)(nil)
	_ core.Closer    = (*Store)(nil)
)

// Open opens the cluster that dsn names, with a client of its own:
//
//	http://127.0.0.1:9200/audits
//	https://user:password@es1:9200,es2:9200,es3:9200/audits?ca_file=/etc/ca.pem
//
// The path is the index, what stands before its last slash a prefix of every request's
// path; the hosts are nodes of one cluster. User and password are percent-encoded where
// they hold other characters than letters, digits and "-._~". Parameters:
//
//	api_key       an API key, as Elasticsearch gives it out encoded
//	ca_file       a file with the certificates, in PEM, of who signed the servers'
//	fingerprint   the SHA-256 of the server's certificate or of its authority's, in hex;
//	              HTTPS_PROXY, which is honoured else, is then not
//	gzip          true compresses what is written
//	template      false installs no index template
//	data_stream   true makes the index a data stream
//	monthly       true writes to one index a month, see [Monthly]
//	dead_letter   the index for what the server refuses
//	timeout       how long one request may take, as "10s"
//
// What dsn says comes before what cfg says. No error shows dsn, a password or a key.
func Open(ctx context.Context, dsn string, cfg Config) (*Store, error) {
	client, cfg, err := parseDSN(dsn, cfg)
	if err != nil {
		return nil, err
	}
	s, err := newStore(ctx, client, cfg)
	if err != nil {
		client.close()
		return nil, err
	}
	s.own = client
	return s, nil
}

// New returns a store on the application's own client, which Close leaves open.
func New(ctx context.Context, client Client, cfg Config) (*Store, error) {
	if client == nil {
		return nil, errors.New("auditing: the client is nil: pass one of elasticsearch.NewClient or opensearch.NewClient")
	}
	return newStore(ctx, client, cfg)
}

func newStore(ctx context.Context, client Client, cfg Config) (*Store, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Store{client: client, cfg: cfg}
	s.base, s.cancel = context.WithCancel(context.Background())
	if err := s.setUp(ctx); err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// complete fills in the defaults.
func (cfg *Config) complete() error {
	if cfg.Index == "" {
		cfg.Index = DefaultIndex
	}
	if cfg.DeadLetter == "" {
		cfg.DeadLetter = cfg.Index + "-dead-letter"
	}
	for _, name := range []string{cfg.Index, cfg.DeadLetter} {
		if !validName(name) {
			return fmt.Errorf("auditing: %.64q cannot name an index: use lower-case letters, digits, and - _ . inside", name)
		}
	}
	if cfg.DeadLetter == cfg.Index {
		return errors.New("auditing: the dead-letter index cannot be the index itself: give it another name")
	}
	if cfg.DataStream && cfg.Route != nil {
		return errors.New("auditing: a data stream is one name: leave out Route (monthly), and let the server roll it over")
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	return nil
}

// validName reports whether name can name an index on every server.
func validName(name string) bool {
	if name == "" || len(name) > 200 || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "_") ||
		strings.HasPrefix(name, "+") || strings.HasPrefix(name, ".") {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// Monthly is a [Config.Route] that gives each month of the events' own times, in UTC,
// an index of its own: "audits-2026.11". Old audits go by deleting an index.
func Monthly(index string) func(core.Event) string {
	if index == "" {
		index = DefaultIndex
	}
	return func(e core.Event) string { return index + e.Time.UTC().Format("-2006.01") }
}

// indexOf is where e is written to.
func (s *Store) indexOf(e core.Event) string {
	if s.cfg.Route == nil {
		return s.cfg.Index
	}
	name := s.cfg.Route(e)
	if strings.HasPrefix(name, s.cfg.Index+"-") && name != s.cfg.DeadLetter && validName(name) {
		return name
	}
	return s.cfg.Index
}

// everywhere names all that Read looks into.
func (s *Store) everywhere() string {
	names := s.cfg.Index + "," + s.cfg.DeadLetter
	if s.cfg.Route != nil {
		names += "," + s.cfg.Index + "-*"
	}
	return names
}

// Stats returns a snapshot of the counts.
func (s *Store) Stats() Stats {
	c := &s.count
	return Stats{
		Stored: c.stored.Load(), Unsearchable: c.unsearchable.Load(), DeadLettered: c.deadLettered.Load(),
		Failed: c.failed.Load(), Requests: c.requests.Load(),
	}
}

// enter makes ctx end with the store and keeps Close waiting until leave is called.
func (s *Store) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	if ctx == nil {
		ctx = context.Background()
	}
	// Asked twice: the lock may wait for Close, or Close come in between.
	if s.closed.Load() {
		return nil, nil, core.ErrClosed
	}
	s.mu.RLock()
	if s.closed.Load() {
		s.mu.RUnlock()
		return nil, nil, core.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.base, func() { cancel(core.ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		s.mu.RUnlock()
	}, nil
}

// Close waits until what is under way has ended, at most as long as ctx, and then
// makes it end. It leaves a client that was given to [New] open.
func (s *Store) Close(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	s.closed.Store(true)
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.mu.Lock() // every request ends soon after base does
	defer s.mu.Unlock()
	s.cancel()
	if s.own != nil {
		s.own.close()
	}
	return nil
}

func (s *Store) logger() *slog.Logger {
	if s.cfg.Logger != nil {
		return s.cfg.Logger
	}
	return slog.Default()
}
