package esstore

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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

// do sends r and reads the whole answer. It takes at most the time of one attempt.
// reusable says that nobody reads r.body any more.
func (s *Store) do(ctx context.Context, r request) (a answer, reusable bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.attemptTime(ctx))
	defer cancel()
	req := (&http.Request{
		Method: r.method, URL: &url.URL{Path: r.path, RawQuery: r.query}, Header: http.Header{"Accept": {jsonType}},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	var sent *sentBody
	if r.body != nil {
		sent = &sentBody{data: r.body}
		req.Header.Set("Content-Type", r.contentType)
		if s.cfg.Gzip && len(r.body) > minGzip {
			sent.data = compressed(r.body)
			req.Header.Set("Content-Encoding", "gzip")
		}
		req.ContentLength = int64(len(sent.data))
		req.GetBody = sent.reader
		req.Body, _ = sent.reader()
	}
	resp, err := s.client.Perform(req)
	switch {
	case err == nil:
		a, err = readAnswer(resp, r.limit)
	case resp != nil && resp.Body != nil: // opensearch-go may return both
		resp.Body.Close()
	}
	return a, sent == nil || sent.open.Load() == 0, plainError(err)
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

// sentBody counts who may still read a request's body: a transport can return before
// it has read all of it.
type sentBody struct {
	data []byte
	open atomic.Int32
}

func (b *sentBody) reader() (io.ReadCloser, error) {
	b.open.Add(1)
	return &bodyReader{Reader: bytes.NewReader(b.data), of: b}, nil
}

type bodyReader struct {
	*bytes.Reader
	of   *sentBody
	once sync.Once
}

func (r *bodyReader) Close() error {
	r.once.Do(func() { r.of.open.Add(-1) })
	return nil
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

// serverError is what a server gives as the reason of a failure.
type serverError struct {
	Type     string       `json:"type"`
	Reason   string       `json:"reason"`
	CausedBy *serverError `json:"caused_by"`
}

// text is the whole reason.
func (e *serverError) text() string {
	var parts []string
	for ; e != nil && len(parts) < 5; e = e.CausedBy {
		parts = append(parts, strings.TrimPrefix(e.Type+": "+e.Reason, ": "))
	}
	return strings.Join(parts, ", caused by ")
}

// valueAt is where a server's reason begins to quote a document.
const valueAt = "Preview of field's value"

// public is the reason without what it quotes of a document.
func (e *serverError) public() string {
	if e == nil {
		return "no reason given"
	}
	text, _, _ := strings.Cut(e.Reason, valueAt)
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.TrimSpace(strings.TrimPrefix(e.Type+": "+text, ": "))
}

// statusError is an answer that refuses the request as a whole.
type statusError struct {
	status int
	reason *serverError
}

func (a answer) failure() *statusError {
	e := &statusError{status: a.status}
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(a.body, &body) == nil && len(body.Error) > 0 {
		reason := &serverError{}
		if json.Unmarshal(body.Error, reason) == nil && reason.Type != "" {
			e.reason = reason
		} else if json.Unmarshal(body.Error, &reason.Reason) == nil {
			e.reason = reason
		}
	}
	return e
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
	if e.reason != nil {
		text += ": " + e.reason.public()
	}
	switch e.status {
	case http.StatusUnauthorized:
		text += ": give a user and password or an api_key that the server knows"
	case http.StatusForbidden:
		text += ": the user needs the right to create documents in the index and in its dead-letter index"
	case http.StatusNotFound:
		text += ": create the index, or let the server create it (action.auto_create_index)"
	}
	return text
}

// retryAfter is what the server asks to wait, 0 when it does not.
func (a answer) retryAfter() time.Duration {
	value := a.header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return min(max(0, time.Duration(seconds)*time.Second), maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, time.Until(at)), maxRetryAfter)
	}
	return 0
}

const maxRetryAfter = 5 * time.Minute
