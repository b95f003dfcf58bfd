package esstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

type answerFunc = func(w http.ResponseWriter, r *http.Request, body []byte, pass func() *httptest.ResponseRecorder) bool

// firstTimes spoils the first n writes.
func firstTimes(n int64, answer answerFunc) answerFunc {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, body []byte, pass func() *httptest.ResponseRecorder) bool {
		return count.Add(1) <= n && answer(w, r, body, pass)
	}
}

// TestPassingFaults is about what is worth another try: in the end everything is
// stored, once, also what the server had stored before the fault.
func TestPassingFaults(t *testing.T) {
	faults := map[string]answerFunc{
		"429 storm": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusTooManyRequests, `{"error":{"type":"es_rejected_execution_exception","reason":"queue full"},"status":429}`)
		},
		"429 of some items": func(w http.ResponseWriter, _ *http.Request, _ []byte, pass func() *httptest.ResponseRecorder) bool {
			rec := pass()
			return refuse(w, http.StatusOK, strings.Replace(rec.Body.String(), `"status":201`, `"status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}`, 2))
		},
		"503 without a master": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusServiceUnavailable, `{"error":{"type":"cluster_block_exception","reason":"no master"},"status":503}`)
		},
		"403 of a block": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusForbidden, `{"error":{"type":"cluster_block_exception","reason":"read-only"},"status":403}`)
		},
		"408": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusRequestTimeout, `<html>Request Timeout</html>`)
		},
		"502 of a proxy": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusBadGateway, `<html>Bad Gateway</html>`)
		},
		"stored, then the connection is cut": func(_ http.ResponseWriter, _ *http.Request, _ []byte, pass func() *httptest.ResponseRecorder) bool {
			pass()
			panic(http.ErrAbortHandler)
		},
		"stored, then the answer stops in the middle": func(w http.ResponseWriter, _ *http.Request, _ []byte, pass func() *httptest.ResponseRecorder) bool {
			body := pass().Body.Bytes()
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Write(body[:len(body)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"stored, then the answer is half of the JSON": func(w http.ResponseWriter, _ *http.Request, _ []byte, pass func() *httptest.ResponseRecorder) bool {
			body := pass().Body.String()
			return refuse(w, http.StatusOK, body[:len(body)/2])
		},
		"an answer with too few items": func(w http.ResponseWriter, _ *http.Request, _ []byte, pass func() *httptest.ResponseRecorder) bool {
			var answer struct {
				Items []json.RawMessage `json:"items"`
			}
			json.Unmarshal(pass().Body.Bytes(), &answer)
			answer.Items = answer.Items[:len(answer.Items)-1]
			short, _ := json.Marshal(answer)
			return refuse(w, http.StatusOK, string(short))
		},
		"an answer without items": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusOK, `{}`)
		},
		"401 while a password is changed": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusUnauthorized, `{"error":{"type":"security_exception","reason":"unable to authenticate user [app]"},"status":401}`)
		},
		"403 of a role": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusForbidden, `{"error":{"type":"security_exception","reason":"action is unauthorized for user [app]"},"status":403}`)
		},
		"404 of an ingress": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusNotFound, `default backend - 404`)
		},
		"400 of a proxy": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusBadRequest, `<html>Bad Request</html>`)
		},
		"405 of a proxy": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusMethodNotAllowed, `<html>Not Allowed</html>`)
		},
		"409 of a proxy": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusConflict, `{"message":"conflict"}`)
		},
		"200 of a sign-in page": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusOK, `<html>Sign in</html>`)
		},
		"404 of all items": func(w http.ResponseWriter, _ *http.Request, _ []byte, pass func() *httptest.ResponseRecorder) bool {
			return refuse(w, http.StatusOK, strings.ReplaceAll(pass().Body.String(), `"status":201`, `"status":404,"error":{"type":"index_not_found_exception","reason":"no such index"}`))
		},
		"a redirect": func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		},
	}
	estest.Each(t, func(t *testing.T, url string) {
		for name, answer := range faults {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := newProxy(t, url)
				p.answer = firstTimes(2, answer)
				s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
				events := sample(20)
				saveAtLast(t, s, events)
				wantAll(t, s, events)
				if p.bulks.Load() < 2 || s.Stats().Stored != 20 || s.Stats().DeadLettered > 0 {
					t.Errorf("%d requests, %+v: the fault did not happen, or passed for a refusal", p.bulks.Load(), s.Stats())
				}
			})
		}
	})
}

// saveAtLast saves until all is stored, as a recorder does. None may be refused.
func saveAtLast(t *testing.T, s *esstore.Store, events []core.Event) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		err := s.Save(t.Context(), events)
		if err == nil {
			return
		}
		var batch *core.BatchError
		if !errors.As(err, &batch) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		left := make([]core.Event, len(batch.Failures))
		for i, f := range batch.Failures {
			if left[i] = events[f.Index]; f.Refused() || f.Lasting || f.Err == nil {
				t.Fatalf("%+v; want an outage that may pass", f)
			}
		}
		events = left
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	url := estest.URL(t, estest.Elasticsearch)
	p := newProxy(t, url)
	var first, second time.Time
	p.answer = func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			return refuse(w, http.StatusTooManyRequests, `{}`)
		}
		second = time.Now()
		return false
	}
	s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
	saveAtLast(t, s, sample(1))
	if waited := second.Sub(first); waited < time.Second {
		t.Errorf("the next request came after %s; the server had asked for a second", waited)
	}
	// A server that asks for an hour is asked again within an audit's time.
	p.answer = firstTimes(1, func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
		w.Header().Set("Retry-After", "3600")
		return refuse(w, http.StatusTooManyRequests, `{"error":{"type":"es_rejected_execution_exception","reason":"queue full"},"status":429}`)
	})
	before := p.bulks.Load()
	for range 3 {
		f := onlyFailure(t, s.Save(t.Context(), sample(1)))
		if !f.Retry || f.Unknown || !strings.Contains(f.Err.Error(), "queue full") {
			t.Errorf("failure %+v; want one that says that trying again can help, that nothing is stored, and why", f)
		}
	}
	if got := p.bulks.Load() - before; got != 1 {
		t.Errorf("%d requests within the pause, want only the one that began it", got)
	}
	rec, err := core.New(s, core.Config{Timeout: 20 * time.Second}) // of which a free machine needs 2
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Audit(t.Context(), "refund", nil, core.As("me")); err != nil {
		t.Error(err)
	}
	if err := rec.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// onlyFailure is the failure of the only event that failed.
func onlyFailure(t *testing.T, err error) core.Failure {
	t.Helper()
	var batch *core.BatchError
	if !errors.As(err, &batch) || len(batch.Failures) != 1 {
		t.Fatalf("Save: %v; want a *BatchError with one failure", err)
	}
	return batch.Failures[0]
}

func TestTooLargeForAProxyIsSplit(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		var largest atomic.Int64
		p.answer = func(w http.ResponseWriter, _ *http.Request, body []byte, _ func() *httptest.ResponseRecorder) bool {
			if len(body) > 10_000 {
				return refuse(w, http.StatusRequestEntityTooLarge, `<html>413</html>`)
			}
			largest.Store(max(largest.Load(), int64(len(body))))
			return false
		}
		s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
		events := sample(200)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		// One that is too large by itself takes nobody down with it.
		more := sample(20)
		more[7].Fields["what"] = strings.Repeat("x", 20_000)
		var batch *core.BatchError
		if err := s.Save(t.Context(), more); !errors.As(err, &batch) || len(batch.Failures) != 1 || batch.Failures[0].Index != 7 || !batch.Failures[0].Refused() {
			t.Fatalf("Save: %+v; want only event 7 to fail, for good", batch)
		}
		wantAll(t, s, append(append(events, more[:7]...), more[8:]...))
	})
}

func TestBodiesAreBounded(t *testing.T) {
	url := estest.URL(t, estest.OpenSearch)
	p := newProxy(t, url)
	var largest, smallest atomic.Int64
	smallest.Store(math.MaxInt64)
	p.answer = func(_ http.ResponseWriter, _ *http.Request, body []byte, _ func() *httptest.ResponseRecorder) bool {
		largest.Store(max(largest.Load(), int64(len(body))))
		smallest.Store(min(smallest.Load(), int64(len(body))))
		return false
	}
	const limit = 20_000
	s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{MaxBytes: limit})
	events := sample(300)
	if err := s.Save(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	wantAll(t, s, events)
	if largest.Load() > limit || largest.Load() < limit/2 {
		t.Errorf("the largest body has %d bytes with a limit of %d", largest.Load(), limit)
	}
}

// TestDiskFull is what the servers do by themselves when a disk is nearly full.
func TestDiskFull(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		index := estest.Index(t, url)
		s := openOn(t, url, index, esstore.Config{})
		rec, err := core.New(s, core.Config{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		audit := func() error { return rec.Audit(t.Context(), "refund", core.Fields{"order": 1}, core.As("me")) }
		if err := audit(); err != nil {
			t.Fatal(err)
		}
		block := func(value string) {
			t.Helper()
			if status, body := estest.Do(t, http.MethodPut, url+"/"+index+"/_settings", `{"index.blocks.read_only_allow_delete":`+value+`}`); status != http.StatusOK {
				t.Fatal(body)
			}
		}
		block("true")
		// A busy machine may need longer for the first answer.
		for within := 300 * time.Millisecond; ; within *= 2 {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			f := onlyFailure(t, s.Save(ctx, sample(1)))
			cancel()
			if f.Retry && strings.Contains(f.Err.Error(), "cluster_block_exception") {
				break
			}
			if within > 10*time.Second {
				t.Fatalf("failure %+v; want one that names the block and can be tried again", f)
			}
		}
		before := s.Stats().Failed
		done := make(chan error, 1)
		go func() { done <- audit() }()
		for s.Stats().Failed == before { // the audit has not been refused yet
			select {
			case err := <-done:
				t.Fatalf("the audit ended while the index was blocked: %v", err)
			case <-time.After(10 * time.Millisecond):
			}
		}
		block("null")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := len(readAll(t, s, core.Query{Tag: "refund", User: "me"})); got != 2 {
			t.Errorf("%d events are there, want 2", got)
		}
		if err := rec.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestForbidden is about faults that are the same for all events: one error that says
// what to do, no storm of requests, nothing in the dead-letter index.
func TestForbidden(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		const own, html = `{"error":{"type":"security_exception","reason":"unauthorized"}}`, `<html></html>`
		for _, test := range []struct {
			status, most int
			body, hint   string
		}{
			{http.StatusUnauthorized, 1, own, "password"},
			{http.StatusUnauthorized, 1, "Unauthorized", "password"},
			{http.StatusForbidden, 1, own, "give the user the right"},
			{http.StatusNotFound, 1, own, "create the index"},
			{http.StatusNotFound, 1, html, "in front of it"},
			{http.StatusForbidden, 1, `{"error":{"type":"cluster_block_exception","reason":"disk"}}`, "free space"},
			{http.StatusForbidden, 1, `{"error":{"type":"cluster_block_exception","reason":"index [a] blocked by: [FORBIDDEN/4/index closed];"}}`, "open the index"},
			{http.StatusForbidden, 8, html, "in front of it"},
			{http.StatusBadRequest, 8, html, "in front of it"},
		} {
			p := newProxy(t, url)
			p.answer = func(w http.ResponseWriter, _ *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
				return refuse(w, test.status, test.body)
			}
			s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
			err := s.Save(t.Context(), sample(100))
			var batch *core.BatchError
			if !errors.As(err, &batch) || len(batch.Failures) != 100 || !strings.Contains(err.Error(), test.hint) {
				t.Fatalf("status %d %s: %v; want one error for all that says %q", test.status, test.body, err, test.hint)
			}
			for _, f := range batch.Failures {
				if f.Refused() || f.Unknown || f.Lasting || f.Err != batch.Failures[0].Err {
					t.Fatalf("status %d %s: %+v; want an outage that stored nothing", test.status, test.body, f)
				}
			}
			if got := int(p.bulks.Load()); got > test.most {
				t.Errorf("status %d %s: %d requests, want at most %d", test.status, test.body, got, test.most)
			}
		}
	})
}

// TestIndexThatMayNotBeMade has the server itself answer 404 item by item.
func TestIndexThatMayNotBeMade(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		set := func(value string) {
			t.Helper()
			if status, body := estest.Do(t, http.MethodPut, url+"/_cluster/settings", `{"transient":{"action.auto_create_index":`+value+`}}`); status != http.StatusOK {
				t.Fatal(body)
			}
		}
		index := estest.Index(t, url)
		set(`"-` + index + `*,+*"`) // other tests may use the server now
		defer set("null")
		s := openOn(t, url, index, esstore.Config{})
		var batch *core.BatchError
		if err := s.Save(t.Context(), sample(3)); !errors.As(err, &batch) || len(batch.Failures) != 3 || batch.Failures[0].Refused() || batch.Failures[0].Unknown || !strings.Contains(err.Error(), "auto_create_index") {
			t.Errorf("Save: %v; want an error that says to create the index", err)
		}
	})
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	if _, err := esstore.Open(t.Context(), "http://me:hunter2@"+gone+"/audits", esstore.Config{}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Open of a port where nobody listens: %v; want an error without the password", err)
	}
	// A host that is gone is no reason to fail while another one answers.
	url := estest.URL(t, estest.OpenSearch)
	s, err := esstore.Open(t.Context(), "http://"+gone+","+strings.TrimPrefix(url, "http://")+"/"+estest.Index(t, url), esstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for range 5 {
		if err := s.Save(t.Context(), sample(1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Stats().Failed; got != 0 {
		t.Errorf("%d failures; want the client to ask the other host at once", got)
	}
}

// TestSilentServer is about one that takes a request and never answers: the caller's
// time holds, and what may be stored is called unknown.
func TestSilentServer(t *testing.T) {
	url := estest.URL(t, estest.OpenSearch)
	p := newProxy(t, url)
	p.answer = func(_ http.ResponseWriter, r *http.Request, _ []byte, _ func() *httptest.ResponseRecorder) bool {
		<-r.Context().Done()
		return true
	}
	s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	f := onlyFailure(t, s.Save(ctx, sample(1)))
	if !f.Retry || !f.Unknown {
		t.Errorf("failure %+v; want it to be unknown", f)
	}
	if ctx.Err() != nil {
		t.Error("one attempt took all the time there was")
	}
	// Close ends what is under way.
	result := make(chan error, 1)
	before := p.bulks.Load()
	go func() { result <- s.Save(context.Background(), sample(1)) }()
	for p.bulks.Load() == before {
		time.Sleep(time.Millisecond)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ended); err != nil {
		t.Fatal(err)
	}
	if f := onlyFailure(t, <-result); !f.Unknown {
		t.Errorf("failure %+v; want it to be unknown", f)
	}
}
