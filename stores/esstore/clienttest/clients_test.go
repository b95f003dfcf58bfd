package clienttest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/elastic/elastic-transport-go/v8/elastictransport"
	elasticsearch7 "github.com/elastic/go-elasticsearch/v7"
	elasticsearch8 "github.com/elastic/go-elasticsearch/v8"
	elasticsearch9 "github.com/elastic/go-elasticsearch/v9"
	opensearch4 "github.com/opensearch-project/opensearch-go/v4"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

func TestMain(m *testing.M) { estest.Main(m) }

// clients make one client each of the server at a URL.
var clients = []struct {
	name string
	// picky clients talk to no other server than Elasticsearch.
	picky bool
	open  func(url string, transport http.RoundTripper) (esstore.Client, error)
}{
	{"elastictransport", false, func(address string, transport http.RoundTripper) (esstore.Client, error) {
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		return elastictransport.New(elastictransport.Config{URLs: []*url.URL{u}, Transport: transport})
	}},
	{"go-elasticsearch 7", true, func(address string, transport http.RoundTripper) (esstore.Client, error) {
		// It would ask for /, which these builds of the servers do not answer.
		return elasticsearch7.NewClient(elasticsearch7.Config{Addresses: []string{address}, Transport: transport, UseResponseCheckOnly: true})
	}},
	{"go-elasticsearch 8", true, func(address string, transport http.RoundTripper) (esstore.Client, error) {
		return elasticsearch8.NewClient(elasticsearch8.Config{Addresses: []string{address}, Transport: transport})
	}},
	{"go-elasticsearch 9", true, func(address string, transport http.RoundTripper) (esstore.Client, error) {
		return elasticsearch9.New(elasticsearch9.WithAddresses(address), elasticsearch9.WithTransportOptions(elastictransport.WithTransport(transport)))
	}},
	{"go-elasticsearch 8 that compresses", true, func(address string, transport http.RoundTripper) (esstore.Client, error) {
		return elasticsearch8.NewClient(elasticsearch8.Config{Addresses: []string{address}, Transport: transport, CompressRequestBody: true})
	}},
	{"opensearch-go 4", false, func(address string, transport http.RoundTripper) (esstore.Client, error) {
		return opensearch4.NewClient(opensearch4.Config{Addresses: []string{address}, Transport: transport})
	}},
	{"opensearch-go 4 that compresses", false, func(address string, transport http.RoundTripper) (esstore.Client, error) {
		return opensearch4.NewClient(opensearch4.Config{Addresses: []string{address}, Transport: transport, CompressRequestBody: true})
	}},
}

// TestClients has many audits share each client: every event comes back as it was.
func TestClients(t *testing.T) {
	const callers, audits = 16, 20
	estest.Each(t, func(t *testing.T, address string) {
		for _, c := range clients {
			t.Run(c.name, func(t *testing.T) {
				transport := &http.Transport{}
				defer transport.CloseIdleConnections()
				client, err := c.open(address, transport)
				if err != nil {
					t.Fatal(err)
				}
				cfg := esstore.Config{Index: estest.Index(t, address)}
				s, err := esstore.New(t.Context(), client, cfg)
				if c.picky && strings.Contains(t.Name(), "/"+string(estest.OpenSearch)+"/") {
					if err == nil || !strings.Contains(err.Error(), "Elasticsearch") {
						t.Errorf("New: %v; want the client's error about a server of another kind", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				rec, err := core.New(s, core.Config{})
				if err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						for j := range audits {
							n := i*audits + j
							if err := rec.Audit(t.Context(), "refund", fields(n), core.As("me")); err != nil {
								t.Errorf("audit %d: %v", n, err)
							}
						}
					})
				}
				wg.Wait()
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				page, err := s.Read(t.Context(), core.Query{Tag: "refund", Limit: callers * audits})
				if err != nil {
					t.Fatal(err)
				}
				seen := map[int64]bool{}
				for _, e := range page.Events {
					n, _ := e.Fields["n"].(int64)
					if !auditjson.Equal(map[string]any(e.Fields), map[string]any(core.Event{Fields: fields(int(n))}.Normalize(0).Fields)) {
						t.Errorf("an event came back with %v", e.Fields)
					}
					seen[n] = true
				}
				if len(seen) != callers*audits || len(page.Events) != len(seen) || page.Next != "" {
					t.Errorf("%d events of %d audits came back, %d of them different", len(page.Events), callers*audits, len(seen))
				}
				if err := rec.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// fields are those of audit n: of a size of its own.
func fields(n int) core.Fields {
	return core.Fields{"n": n, "what": strings.Repeat(fmt.Sprint(n, " "), 1+n)}
}
