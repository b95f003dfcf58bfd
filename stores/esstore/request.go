package esstore

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
)

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
)

// maxAnswer bounds the answer to a write, in bytes; those to a search are as large as
// the events are.
const maxAnswer = 64 << 20

// answer is one response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request is one request to the server.
type request struct {
	method, path, query string
	contentType         string
	body                []byte
	limit               int64 // of the answer, in bytes; 0 is none
}

// do sends r and reads the whole answer, within the time of one attempt.
func (s *Store) do(ctx context.Context, r request) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.attemptTime(ctx))
	defer cancel()
	req := &http.Request{
		Method: r.method, URL: &url.URL{Path: r.path, RawQuery: r.query}, Header: http.Header{"Accept": {jsonType}},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	watched := &conversation{}
	req = req.WithContext(watched.trace(ctx))
	if body := r.body; body != nil {
		req.Header.Set("Content-Type", r.contentType)
		if s.cfg.Gzip && len(body) > minGzip {
			body = compressed(body)
			req.Header.Set("Content-Encoding", "gzip")
		}
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	resp, err := s.client.Perform(req)
	switch {
	case err == nil:
		a, err = readAnswer(resp, r.limit)
	case resp != nil && resp.Body != nil: // opensearch-go may return both
		resp.Body.Close()
	}
	if err = plainError(err); err != nil && watched.nothingSent(err) {
		err = fmt.Errorf("%w: %w", errNotSent, err)
	}
	return a, err
}

// errNotSent says that no server can have seen the request.
var errNotSent = errors.New("nothing could be sent")

// conversation tells whether any part of a request left for a server, whichever client
// sends it, and however often.
type conversation struct{ wanted, connected atomic.Bool }

type conversationKey struct{}

func (c *conversation) trace(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, conversationKey{}, c)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { c.connected.Store(true) },
	})
}

// nothingSent is asked once err is known. A client that does not report to traces is
// believed only where err says that it could not dial.
func (c *conversation) nothingSent(err error) bool {
	var op *net.OpError
	return !c.connected.Load() && (c.wanted.Load() || errors.As(err, &op) && op.Op == "dial")
}

func readAnswer(resp *http.Response, limit int64) (answer, error) {
	a := answer{status: resp.StatusCode, header: resp.Header}
	if resp.Body == nil {
		return a, nil
	}
	defer resp.Body.Close()
	from := io.Reader(resp.Body)
	if limit > 0 {
		from = io.LimitReader(from, limit)
	}
	var buf bytes.Buffer
	if n := resp.ContentLength; n > 0 && (limit <= 0 || n <= limit) && n <= maxAnswer {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(from)
	a.body = buf.Bytes()
	return a, err
}

// plainError takes the URL, which says nothing, out of err.
func plainError(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// minGzip is how small a body is not worth compressing.
const minGzip = 1 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level exists
	return w
}}

func compressed(data []byte) []byte {
	var buf bytes.Buffer
	buf.Grow(len(data) / 4)
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	w.Reset(&buf)
	w.Write(data) // into memory: it cannot fail
	w.Close()
	return buf.Bytes()
}
