package esstore

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// httpClient is the [Client] that Open builds: it knows several nodes and prefers
// those that answered last.
type httpClient struct {
	scheme, prefix, authorization string

	transport *http.Transport

	mu    sync.Mutex
	hosts []*node
	next  int
}

// node is one host of the cluster.
type node struct {
	address  string
	failures int
	until    time.Time // when it is worth another try
}

// maxIdleConns is how many connections a node keeps open between requests.
const maxIdleConns = 16

func (c *httpClient) open(trust *tls.Config, pin []byte) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	c.transport = &http.Transport{
		DialContext:         dialer.DialContext,
		TLSClientConfig:     trust,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: maxIdleConns,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
	if pin == nil {
		c.transport.Proxy = http.ProxyFromEnvironment
		return
	}
	// Whose address was dialled is known only here, and a proxy would have its own.
	c.transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialPinned(ctx, dialer, network, address, trust, pin)
	}
}

const dialTimeout = 5 * time.Second

func dialPinned(ctx context.Context, dialer *net.Dialer, network, address string, trust *tls.Config, pin []byte) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	cfg := trust.Clone()
	cfg.ServerName = host
	cfg.VerifyConnection = func(state tls.ConnectionState) error { return verifyPinned(state.PeerCertificates, host, pin) }
	secure := tls.Client(conn, cfg)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return secure, nil
}

func (c *httpClient) close() { c.transport.CloseIdleConnections() }

// Perform sends r to a node. Where nothing could be sent the next node is asked at
// once; any other failure is the caller's to judge, and makes the node one of the
// last to be asked for a while.
func (c *httpClient) Perform(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close() // each attempt reads a body of its own
	}
	told, _ := r.Context().Value(conversationKey{}).(*conversation)
	var last error
	for range c.hosts {
		n := c.pick()
		attempt := r.Clone(r.Context())
		attempt.URL.Scheme, attempt.URL.Host, attempt.Host = c.scheme, n.address, n.address
		attempt.URL.Path = c.prefix + r.URL.Path
		if c.authorization != "" {
			attempt.Header.Set("Authorization", c.authorization)
		}
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			attempt.Body = body
		}
		resp, err := c.transport.RoundTrip(attempt) // which follows no redirect with our key
		c.mark(n, err == nil)
		if err == nil {
			return resp, nil
		}
		last = err
		if told == nil || !told.nothingSent(err) || r.Context().Err() != nil {
			break
		}
	}
	return nil, last
}

// pick returns the next node in turn that is not known to be down, else the one that
// has been down longest.
func (c *httpClient) pick() *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var best *node
	for range c.hosts {
		n := c.hosts[c.next%len(c.hosts)]
		c.next++
		if !n.until.After(now) {
			best = n
			break
		}
		if best == nil || n.until.Before(best.until) {
			best = n
		}
	}
	// Whoever comes meanwhile takes another one while this one is tried again.
	if best.failures > 0 {
		best.until = now.Add(time.Second)
	}
	return best
}

const maxDown = 30 * time.Second

func (c *httpClient) mark(n *node, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok {
		n.failures, n.until = 0, time.Time{}
		return
	}
	n.failures++
	n.until = time.Now().Add(min(time.Second<<min(n.failures-1, 5), maxDown))
}

// attemptTime is how long one request may take when ctx ends some time: half of what
// is left, so that another node can be asked in the other half.
func (s *Store) attemptTime(ctx context.Context) time.Duration {
	d := s.cfg.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		if half := time.Until(deadline) / 2; half < d {
			d = max(half, minAttempt)
		}
	}
	return d
}

const minAttempt = 100 * time.Millisecond
