package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v7"
	"github.com/elastic/go-elasticsearch/v7/esutil"
	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/esstore"
)

const bulkName = "raw _bulk of the same bytes"

func elasticCases(ctx context.Context, l *lab) ([]Case, error) {
	e, err := l.elastic(ctx)
	if err != nil {
		return nil, err
	}
	const callers = 256
	n := l.choose(2_000, 20_000, 100_000)
	calling := func(name string, do func(ctx context.Context, n int) error) Side {
		return Side{Name: name, Measure: func(ctx context.Context, d time.Duration) (Sample, error) { return drive(ctx, callers, d, do) }}
	}
	return []Case{{
		Name: "drain of " + number(float64(n)) + " events", Figures: []string{Rate},
		Sides: []Side{
			{Name: "auditing", Measure: func(ctx context.Context, _ time.Duration) (Sample, error) { return e.save(ctx, n) }},
			{Name: bulkName, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
				bodies, err := bulkBodies(ctx, n)
				if err != nil {
					return nil, err
				}
				return timed(n, func() error { return e.post(ctx, bodies) })
			}},
			{Name: "esutil.BulkIndexer", Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
				bodies, err := bulkBodies(ctx, n)
				if err != nil {
					return nil, err
				}
				return timed(n, func() error { return e.index(ctx, bodies) })
			}},
		},
		Wants: []Want{{Figure: Rate, Beside: bulkName, AtLeast: 0.9}},
	}, {
		Name: callersName(callers), Figures: []string{Rate, P50, P99},
		Sides: []Side{
			calling("auditing", func(ctx context.Context, n int) error { return e.rec.Audit(ctx, tag, fields(n), core.As(user)) }),
			calling("BulkIndexer, flushed every 10 ms", e.addAndWait),
			calling("one request an event", e.create),
		},
	}}, nil
}

// elastic is a server, the library's index and one that peers write to.
type elastic struct {
	url    string
	rec    *core.Recorder
	peers  string // the index
	http   *http.Client
	client *elasticsearch.Client
	shared esutil.BulkIndexer // of the callers that wait
}

// elastic starts a server, unless one is named.
func (l *lab) elastic(ctx context.Context) (*elastic, error) {
	url := os.Getenv("AUDITING_ELASTICSEARCH_URL")
	if url == "" {
		if _, err := script(ctx, nil, "elastic", "have", "elasticsearch", "-"); err != nil && l.quick {
			return nil, missing("not downloaded: .ci/elastic fetch elasticsearch")
		}
		dir := filepath.Join(l.dir, "elasticsearch")
		var err error
		if url, err = script(ctx, nil, "elastic", "start", "elasticsearch", "-", dir); err != nil {
			return nil, missing(err.Error())
		}
		l.atEnd(func() error {
			_, err := script(context.WithoutCancel(ctx), nil, "elastic", "stop", dir)
			return err
		})
	}
	url = strings.TrimSuffix(url, "/")
	name := fmt.Sprintf("benchmarks-%d", time.Now().UnixNano())
	e := &elastic{url: url, peers: name + "-peers", http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	l.atEnd(func() error { return e.remove(context.WithoutCancel(ctx), name, e.peers) })

	store, err := stores.Open(ctx, "elasticsearch", url+"/"+name)
	if err != nil {
		return nil, err
	}
	if e.rec, err = core.New(store, core.Config{Timeout: time.Minute}); err != nil {
		return nil, err
	}
	l.atEnd(func() error { return e.rec.Close(context.WithoutCancel(ctx)) })
	// The template of the peers' index is made the same way.
	peers, err := esstore.Open(ctx, url+"/"+e.peers, esstore.Config{})
	if err != nil {
		return nil, err
	}
	if err := peers.Close(ctx); err != nil {
		return nil, err
	}
	// The server that .ci/elastic starts does not answer what the client would ask first.
	if e.client, err = elasticsearch.NewClient(elasticsearch.Config{Addresses: []string{url}, UseResponseCheckOnly: true}); err != nil {
		return nil, err
	}
	if e.shared, err = e.indexer(10 * time.Millisecond); err != nil {
		return nil, err
	}
	l.atEnd(func() error { return e.shared.Close(context.WithoutCancel(ctx)) })
	return e, nil
}

// remove deletes indices and their templates.
func (e *elastic) remove(ctx context.Context, names ...string) error {
	defer e.http.CloseIdleConnections()
	for _, name := range names {
		for _, path := range []string{name, "_index_template/auditing-" + name, "_index_template/auditing-" + name + "-dead-letter"} {
			req, err := http.NewRequestWithContext(ctx, http.MethodDelete, e.url+"/"+path, nil)
			if err != nil {
				return err
			}
			resp, err := e.http.Do(req)
			if err != nil {
				return err
			}
			resp.Body.Close()
		}
	}
	return nil
}

// save gives the store n events, one batch after the other.
func (e *elastic) save(ctx context.Context, n int) (Sample, error) {
	batches := newBatches(n)
	return timed(n, func() error {
		for _, batch := range batches {
			if err := e.rec.Store().Save(ctx, batch); err != nil {
				return err
			}
		}
		return nil
	})
}

// send posts a body and fails unless the server took all of it.
func (e *elastic) send(ctx context.Context, path, contentType string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/"+e.peers+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode >= 300 || bytes.Contains(answer, []byte(`"errors":true`))) {
		err = fmt.Errorf("%s: %.200s", resp.Status, answer)
	}
	return err
}

// post sends bodies one after the other, asking for as much of an answer as the store does.
func (e *elastic) post(ctx context.Context, bodies [][]byte) error {
	for _, body := range bodies {
		if err := e.send(ctx, "/_bulk?filter_path=errors,error,items.create.status", "application/x-ndjson", body); err != nil {
			return err
		}
	}
	return nil
}

// create writes one event a request.
func (e *elastic) create(ctx context.Context, n int) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	return e.send(ctx, "/_create/"+id.String(), "application/json", document(n, id))
}

// document is an event much as the store writes it.
func document(n int, id uuid.UUID) []byte {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	doc, err := json.Marshal(map[string]any{
		"@timestamp": now, "event": map[string]any{"action": tag, "id": id}, "user": map[string]any{"name": user}, "tag": tag,
		"audit": map[string]any{"fields": fields(n)}, "labels": map[string]any{"item": fmt.Sprint(n), "amount": "9.5", "what": "a book", "ok": "true"},
	})
	if err != nil {
		panic(err) // of plain values
	}
	return doc
}

func (e *elastic) indexer(every time.Duration) (esutil.BulkIndexer, error) {
	return esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: e.client, Index: e.peers, FlushInterval: every})
}

// index hands the documents of all bodies to a BulkIndexer.
func (e *elastic) index(ctx context.Context, bodies [][]byte) error {
	indexer, err := e.indexer(0)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	onFailure := func(_ context.Context, _ esutil.BulkIndexerItem, r esutil.BulkIndexerResponseItem, err error) {
		select {
		case failed <- notStored(err, r):
		default: // one is enough
		}
	}
	for _, body := range bodies {
		for len(body) > 0 && err == nil {
			var action struct {
				Create struct {
					ID string `json:"_id"`
				}
			}
			first, rest, _ := bytes.Cut(body, []byte("\n"))
			doc, next, _ := bytes.Cut(rest, []byte("\n"))
			body = next
			if err = json.Unmarshal(first, &action); err == nil {
				err = indexer.Add(ctx, esutil.BulkIndexerItem{Action: "create", DocumentID: action.Create.ID, Body: bytes.NewReader(doc), OnFailure: onFailure})
			}
		}
	}
	err = errors.Join(err, indexer.Close(ctx))
	if s := indexer.Stats(); s.NumFailed > 0 || s.NumFlushed != s.NumAdded {
		err = errors.Join(err, fmt.Errorf("BulkIndexer: %+v", s))
	}
	select {
	case first := <-failed:
		return errors.Join(err, first)
	default:
		return err
	}
}

func notStored(err error, r esutil.BulkIndexerResponseItem) error {
	if err == nil {
		return fmt.Errorf("not stored: %d %s", r.Status, r.Error.Reason)
	}
	return fmt.Errorf("not stored: %w", err)
}

// addAndWait is a caller of a BulkIndexer that wants to know that its event is stored.
func (e *elastic) addAndWait(ctx context.Context, n int) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	// Of a request that fails as a whole nobody is called back.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	err = e.shared.Add(ctx, esutil.BulkIndexerItem{
		Action: "create", DocumentID: id.String(), Body: bytes.NewReader(document(n, id)),
		OnSuccess: func(context.Context, esutil.BulkIndexerItem, esutil.BulkIndexerResponseItem) { done <- nil },
		OnFailure: func(_ context.Context, _ esutil.BulkIndexerItem, r esutil.BulkIndexerResponseItem, err error) {
			done <- notStored(err, r)
		},
	})
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bulkBodies are what the store sends for n events.
func bulkBodies(ctx context.Context, n int) ([][]byte, error) {
	var kept keeper
	store, err := esstore.New(ctx, &kept, esstore.Config{})
	if err != nil {
		return nil, err
	}
	for _, batch := range newBatches(n) {
		if err := store.Save(ctx, batch); err != nil {
			return nil, err
		}
	}
	return kept.bodies, store.Close(ctx)
}

// keeper is a client that keeps what it is to write and says that it is stored.
type keeper struct{ bodies [][]byte }

func (k *keeper) Perform(r *http.Request) (*http.Response, error) {
	answer, status := "{}", http.StatusOK
	switch {
	case strings.HasSuffix(r.URL.Path, "/_bulk"):
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		k.bodies = append(k.bodies, body)
		items := strings.Repeat(`{"create":{"status":201}},`, bytes.Count(body, []byte("\n"))/2)
		answer = `{"errors":false,"items":[` + strings.TrimSuffix(items, ",") + `]}`
	case r.Method == http.MethodGet:
		// neither template nor index
		answer, status = `{"error":{"type":"resource_not_found_exception","reason":"not found"},"status":404}`, http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
}
