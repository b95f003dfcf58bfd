package esstore_test

import (
	"errors"
	"net/http"
	neturl "net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// movable is an application's own client, whose server moves.
type movable struct {
	to        atomic.Pointer[neturl.URL]
	transport http.Transport
}

func (m *movable) Perform(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = m.to.Load().Scheme, m.to.Load().Host
	return m.transport.RoundTrip(r)
}

// TestNothingSent: where no connection could be made nothing is stored, and the audit's
// error says so, with the reason.
func TestNothingSent(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		gone := newProxy(t, url)
		gone.Close()
		for _, test := range []struct{ to, words string }{
			{"", "refused"}, // with a client of the store's own
			{gone.URL, "refused"},
			{"http://nowhere.invalid", "nowhere.invalid"},
			{strings.Replace(url, "http://", "https://", 1), "tls"},
		} {
			var s *esstore.Store
			if test.to == "" {
				p := newProxy(t, url)
				s = openOn(t, p.URL, estest.Index(t, url), esstore.Config{})
				p.Close()
				_ = s.Save(t.Context(), sample(1)) // may still find the old connection open
			} else {
				client := &movable{}
				move := func(to string) {
					u, err := neturl.Parse(to)
					if err != nil {
						t.Fatal(err)
					}
					client.to.Store(u)
					client.transport.CloseIdleConnections()
				}
				move(url)
				var err error
				if s, err = esstore.New(t.Context(), client, esstore.Config{Index: estest.Index(t, url)}); err != nil {
					t.Fatal(err)
				}
				move(test.to)
			}
			if f := onlyFailure(t, s.Save(t.Context(), sample(1))); f.Refused() || f.Unknown || !strings.Contains(f.Err.Error(), test.words) {
				t.Errorf("%s: failure %+v; want an outage in which nothing was sent, and %q", test.to, f, test.words)
			}
			rec, err := core.New(s, core.Config{Timeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			err = rec.Audit(t.Context(), "refund", nil, core.As("me"))
			if !errors.Is(err, core.ErrTimeout) || errors.Is(err, core.ErrUnknown) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%s: Audit: %v; want ErrTimeout and %q", test.to, err, test.words)
			}
			if err := rec.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
