package esstore_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// proxy stands in front of a real server and spoils what a test wants spoilt.
type proxy struct {
	*httptest.Server
	bulks atomic.Int64 // requests that write
	// answer, when set, may answer a request that writes itself, and then returns true.
	answer func(w http.ResponseWriter, r *http.Request, body []byte, pass func() *httptest.ResponseRecorder) bool
	// check, when set, may refuse any request.
	check func(w http.ResponseWriter, r *http.Request) bool
	// hidden, when set, is a header that is taken from every answer.
	hidden string
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p := &proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: transport,
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del(p.hidden)
			return nil
		},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.check != nil && !p.check(w, r) {
			return
		}
		if strings.HasSuffix(r.URL.Path, "/_bulk") {
			p.bulks.Add(1)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			pass := func() *httptest.ResponseRecorder {
				rec := httptest.NewRecorder()
				forward.ServeHTTP(rec, r)
				return rec
			}
			if p.answer != nil && p.answer(w, r, body, pass) {
				return
			}
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// newUnstartedLike serves what p serves, on a port of its own.
func newUnstartedLike(p *proxy) *httptest.Server {
	return httptest.NewUnstartedServer(p.Config.Handler)
}

// refuse answers with a status and a body as the servers write them.
func refuse(w http.ResponseWriter, status int, body string) bool {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
	return true
}
