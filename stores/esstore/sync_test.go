package esstore_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestWhatIsThereIsSynced: that an event is there already counts only once the server
// has synced it, and is still there after that.
func TestWhatIsThereIsSynced(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		for name, flush := range map[string]func(w http.ResponseWriter) bool{
			"flush that is refused": func(w http.ResponseWriter) bool {
				return refuse(w, http.StatusForbidden, `{"error":{"type":"security_exception","reason":"no"}}`)
			},
			"flush of some shards": func(w http.ResponseWriter) bool {
				return refuse(w, http.StatusOK, `{"_shards":{"total":2,"successful":1,"failed":1}}`)
			},
			"flush of a sign-in page": func(w http.ResponseWriter) bool { return refuse(w, http.StatusOK, `<html></html>`) },
		} {
			t.Run(name, func(t *testing.T) {
				p := newProxy(t, url)
				p.answer = firstTimes(1, func(_ http.ResponseWriter, _ *http.Request, _ []byte, pass func() *httptest.ResponseRecorder) bool {
					pass()
					panic(http.ErrAbortHandler)
				})
				var flushes atomic.Int64
				var spoilt atomic.Bool
				spoilt.Store(true)
				p.check = func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.HasSuffix(r.URL.Path, "/_flush") {
						return true
					}
					flushes.Add(1)
					return !spoilt.Load() || !flush(w)
				}
				s := openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
				events := sample(1)
				for range 2 { // cut off after it was stored, then there
					if f := onlyFailure(t, s.Save(t.Context(), events)); f.Refused() || !f.Unknown {
						t.Fatalf("failure %+v; want it to be unknown", f)
					}
				}
				spoilt.Store(false)
				before := p.bulks.Load()
				if err := s.Save(t.Context(), events); err != nil {
					t.Fatal(err)
				}
				if flushes.Load() != 2 || p.bulks.Load() != before+2 {
					t.Errorf("%d flushes, %d writes; want the event to be asked for again after a second flush", flushes.Load(), p.bulks.Load()-before)
				}
				wantAll(t, s, events)
			})
		}
	})
}

// measured notes how large the answers are.
type measured struct {
	to      string
	answers []int
}

func (m *measured) Perform(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(m.to, "http://")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	m.answers = append(m.answers, len(body))
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp, err
}

// TestReadAsksForFewBytes: the server holds what it answers in memory.
func TestReadAsksForFewBytes(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		m := &measured{to: url}
		s, err := esstore.New(t.Context(), m, esstore.Config{Index: estest.Index(t, url)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		const n, size = 60, 200_000
		events := sample(n)
		for i := range events {
			events[i].Fields["big"] = strings.Repeat("x", size)
			events[i].Fields["list"] = []any{i} // which labels do not tell
		}
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		m.answers = nil
		q := queryByList(7)
		if got := readAll(t, s, q); len(got) != 1 {
			t.Errorf("%d events are found, want 1", len(got))
		}
		total := 0
		for _, answer := range m.answers {
			total += answer
			if answer > 5<<20 {
				t.Errorf("one answer has %d bytes", answer)
			}
		}
		if total < n*size {
			t.Errorf("%d bytes were read: the test looks at too little", total)
		}
	})
}

func queryByList(n int) core.Query { return core.Query{Fields: core.Fields{"list": []any{n}}} }
