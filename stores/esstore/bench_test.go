package esstore_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// standIn is a client without a server: it says that everything is stored, and keeps
// the last body if it is asked to.
type standIn struct {
	keep bool
	body []byte
}

func (c *standIn) Perform(r *http.Request) (*http.Response, error) {
	answer, status := "{}", http.StatusOK
	switch {
	case strings.HasSuffix(r.URL.Path, "/_bulk"):
		lines, err := c.read(r.Body)
		if err != nil {
			return nil, err
		}
		items := strings.Repeat(`{"create":{"status":201}},`, lines/2)
		answer = `{"errors":false,"items":[` + strings.TrimSuffix(items, ",") + `]}`
	case r.Method == http.MethodGet:
		status = http.StatusNotFound // no template, no index
		answer = `{"error":{"type":"resource_not_found_exception","reason":"none"},"status":404}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

func (c *standIn) read(body io.ReadCloser) (lines int, err error) {
	defer body.Close()
	if c.keep {
		c.body, err = io.ReadAll(body)
		return bytes.Count(c.body, []byte("\n")), err
	}
	for buf := make([]byte, 64<<10); ; {
		n, err := body.Read(buf)
		lines += bytes.Count(buf[:n], []byte("\n"))
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
	}
}

// BenchmarkDrain compares Save of 1,000 events at a time with a loop that posts
// byte-identical bodies, batch by batch in turns. One iteration drains 100,000 events
// either way. x-raw is how many times the events per second of the loop Save reaches in
// the same run.
func BenchmarkDrain(b *testing.B) {
	for _, kind := range estest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			const size, drain, warm = 1000, 100, 10
			url := estest.URL(b, kind)
			index, raw := estest.Index(b, url), estest.Index(b, url)
			store := openOn(b, url, index, esstore.Config{})
			openOn(b, url, raw, esstore.Config{}) // for the template
			dry := &standIn{keep: true}
			writer, err := esstore.New(b.Context(), dry, esstore.Config{})
			if err != nil {
				b.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			var ours, theirs time.Duration
			turn := func(i int) {
				events := sample(size)
				if err := writer.Save(b.Context(), events); err != nil {
					b.Fatal(err)
				}
				save := func() {
					start := time.Now()
					if err := store.Save(b.Context(), events); err != nil {
						b.Fatal(err)
					}
					ours += time.Since(start)
				}
				post := func() {
					start := time.Now()
					resp, err := client.Post(url+"/"+raw+"/_bulk", "application/x-ndjson", bytes.NewReader(dry.body))
					if err != nil {
						b.Fatal(err)
					}
					defer resp.Body.Close()
					if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
						b.Fatal(resp.Status, err)
					}
					theirs += time.Since(start)
				}
				// Whoever comes second finds the server busier.
				if i%2 == 0 {
					save()
					post()
				} else {
					post()
					save()
				}
			}
			for i := range warm {
				turn(i)
			}
			ours, theirs = 0, 0
			for i := range b.N * drain {
				turn(i)
			}
			b.ReportMetric(float64(b.N*drain*size)/ours.Seconds(), "events/s")
			b.ReportMetric(float64(b.N*drain*size)/theirs.Seconds(), "raw-events/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-raw")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkAudit compares durable audits of 256 callers with what the Python library
// does: one request an event on a new connection, from 16 threads, into an index whose
// mapping the server guesses. x-single is how many
// times their events per second the audits reach in the same run, x-kept-open the same
// if those connections were kept open. One iteration is one such request.
func BenchmarkAudit(b *testing.B) {
	for _, kind := range estest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			const callers, threads = 256, 16
			url := estest.URL(b, kind)
			index, single := estest.Index(b, url), estest.Index(b, url)
			rec, err := core.New(openOn(b, url, index, esstore.Config{}), core.Config{Timeout: time.Minute})
			if err != nil {
				b.Fatal(err)
			}
			audit := func() error {
				return rec.Audit(b.Context(), "bench", core.Fields{"order": 42, "amount": 9.5, "what": "refund", "ok": true}, core.As("me"))
			}
			post := func(keepOpen bool) func() error {
				client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: threads, DisableKeepAlives: !keepOpen}}
				b.Cleanup(client.CloseIdleConnections)
				return func() error {
					body := fmt.Sprintf(`{"tag":"bench","username":"me","datetime":%q,"order":42,"amount":9.5,"what":"refund","ok":true}`,
						time.Now().UTC().Format("2006-01-02T15:04:05.000000"))
					resp, err := client.Post(url+"/"+single+"/_doc", "application/json", strings.NewReader(body))
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
						return fmt.Errorf("%s %w", resp.Status, err)
					}
					return nil
				}
			}
			fresh, kept := post(false), post(true)
			drive(b, callers, 20*callers, audit)
			drive(b, threads, 20*threads, kept)
			const turns, share = 4, 16 // an audit takes about so much less time
			n := max(1, b.N/turns)
			var ours, theirs, others time.Duration
			b.ResetTimer()
			for range turns {
				ours += drive(b, callers, share*n, audit)
				theirs += drive(b, threads, n, fresh)
				others += drive(b, threads, n, kept)
			}
			perSecond := func(events int, d time.Duration) float64 { return float64(events) / d.Seconds() }
			audits, singles := perSecond(turns*share*n, ours), perSecond(turns*n, theirs)
			b.ReportMetric(audits, "events/s")
			b.ReportMetric(singles, "single-events/s")
			b.ReportMetric(audits/singles, "x-single")
			b.ReportMetric(audits/perSecond(turns*n, others), "x-kept-open")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// drive calls do n times from so many goroutines and returns how long that took.
func drive(b *testing.B, callers, n int, do func() error) time.Duration {
	var wg sync.WaitGroup
	var next atomic.Int64
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// TestMemoryStaysFlat saves a million events, a tenth of them with -short.
func TestMemoryStaysFlat(t *testing.T) {
	batches := 1000
	if testing.Short() {
		batches = 100
	}
	s, err := esstore.New(t.Context(), &standIn{}, esstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	events := sample(1000)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var first int64
	for i := range batches {
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if (i+1)%(batches/10) > 0 {
			continue
		}
		switch now := heap(); {
		case first == 0:
			first = now
		case now > first+4<<20:
			t.Fatalf("after %d events the heap is %d bytes, after a tenth of all it was %d", (i+1)*len(events), now, first)
		}
	}
}
