package esstore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// authority is a certificate authority of a test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	return authority{}.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
}

// sign makes a certificate, signed by itself when there is no authority yet.
func (a authority) sign(t *testing.T, c *x509.Certificate) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.Subject = pkix.Name{CommonName: "auditing test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if a.cert == nil {
		a = authority{cert: c, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert: cert, key: key}
}

// server is a certificate for 127.0.0.1 or, when wanted, for somebody else's address.
func (a authority) server(t *testing.T, ip string) authority {
	return a.sign(t, &x509.Certificate{IPAddresses: []net.IP{net.ParseIP(ip)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (a authority) fingerprint() string {
	sum := sha256.Sum256(a.cert.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func (a authority) file(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSecureServer has a proxy do in front of a real server what these builds lack:
// TLS, passwords and keys.
func TestSecureServer(t *testing.T) {
	const user, password, key = "app", "p@ss/w:ord%?#", "VnVhQ2ZHY0JDZGJrU=="
	estest.Each(t, func(t *testing.T, url string) {
		ca, stranger := newAuthority(t), newAuthority(t)
		leaf := ca.server(t, "127.0.0.1")
		serve := func(chain ...authority) *proxy {
			p := newProxy(t, url)
			p.Server.Close()
			secure := newUnstartedLike(p)
			secure.TLS = &tls.Config{Certificates: []tls.Certificate{{PrivateKey: chain[0].key}}}
			for _, c := range chain {
				secure.TLS.Certificates[0].Certificate = append(secure.TLS.Certificates[0].Certificate, c.cert.Raw)
			}
			secure.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are the test's own
			secure.StartTLS()
			t.Cleanup(secure.Close)
			p.Server = secure
			p.check = func(w http.ResponseWriter, r *http.Request) bool {
				name, word, ok := r.BasicAuth()
				if ok && name == user && word == password || r.Header.Get("Authorization") == "ApiKey "+key {
					return true
				}
				return !refuse(w, http.StatusUnauthorized, `{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}`)
			}
			return p
		}
		honest := serve(leaf, ca)
		credentials := neturl.UserPassword(user, password).String() + "@"
		apiKey := "&api_key=" + neturl.QueryEscape(key)
		for _, test := range []struct {
			name, credentials, params string
			server                    *proxy
			fails                     string // a part of the error, "" for none
		}{
			{"a password and the authority's file", credentials, "ca_file=" + ca.file(t), honest, ""},
			{"an API key", "", "ca_file=" + ca.file(t) + apiKey, honest, ""},
			{"the authority's fingerprint", credentials, "fingerprint=" + ca.fingerprint(), honest, ""},
			{"the server's fingerprint", credentials, "fingerprint=" + leaf.fingerprint(), honest, ""},
			{"both", credentials, "ca_file=" + ca.file(t) + "&fingerprint=" + leaf.fingerprint(), honest, ""},
			{"the system's authorities", credentials, "", honest, "certificate"},
			{"a stranger's file", credentials, "ca_file=" + stranger.file(t), honest, "certificate"},
			{"a stranger's fingerprint", credentials, "fingerprint=" + stranger.fingerprint(), honest, "fingerprint"},
			{"a certificate for another address", credentials, "fingerprint=" + ca.fingerprint(), serve(ca.server(t, "127.0.0.9"), ca), "127.0.0.1"},
			{"a stranger who sends the authority along", credentials, "fingerprint=" + ca.fingerprint(), serve(stranger.server(t, "127.0.0.1"), ca), "certificate"},
			{"another password", "app:hunter2@", "ca_file=" + ca.file(t), honest, "401"},
			{"no password", "", "ca_file=" + ca.file(t), honest, "401"},
		} {
			t.Run(test.name, func(t *testing.T) {
				index := estest.Index(t, url)
				dsn := strings.Replace(test.server.URL, "https://", "https://"+test.credentials, 1) + "/" + index + "?" + strings.TrimPrefix(test.params, "&")
				store, err := stores.Open(t.Context(), "elasticsearch", dsn)
				if test.fails != "" {
					if err == nil || !strings.Contains(err.Error(), test.fails) {
						t.Fatalf("Open: %v; want an error about %q", err, test.fails)
					}
					for _, secret := range []string{password, "p%40ss", "hunter2", key} {
						if strings.Contains(err.Error(), secret) {
							t.Errorf("the error shows %q: %v", secret, err)
						}
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				s := store.(*esstore.Store)
				defer s.Close(t.Context())
				events := sample(3)
				if err := s.Save(t.Context(), events); err != nil {
					t.Fatal(err)
				}
				wantAll(t, s, events)
			})
		}
	})
}

// TestUserWithoutRoles may do nothing, and then nothing but write.
func TestUserWithoutRoles(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		p.check = func(w http.ResponseWriter, r *http.Request) bool {
			return !refuse(w, http.StatusForbidden, `{"error":{"type":"security_exception","reason":"action is unauthorized for user [app]"},"status":403}`)
		}
		index := estest.Index(t, url)
		if _, err := esstore.Open(t.Context(), p.URL+"/"+index, esstore.Config{}); err == nil || !strings.Contains(err.Error(), "template=false") {
			t.Errorf("Open: %v; want an error that names the right and template=false", err)
		}
		// Somebody else has installed the template.
		openOn(t, url, index, esstore.Config{})
		p.check = func(w http.ResponseWriter, r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/_bulk") ||
				!refuse(w, http.StatusForbidden, `{"error":{"type":"security_exception","reason":"action is unauthorized for user [app]"},"status":403}`)
		}
		s := openOn(t, p.URL, index+"?template=false", esstore.Config{})
		events := sample(2)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("Flush: %v; want the server's 403", err)
		}
		wantAll(t, openOn(t, url, index, esstore.Config{}), events)
	})
}

func TestGzip(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		zipped := false
		p.check = func(_ http.ResponseWriter, r *http.Request) bool {
			zipped = zipped || strings.HasSuffix(r.URL.Path, "/_bulk") && r.Header.Get("Content-Encoding") == "gzip"
			return true
		}
		s := openOn(t, p.URL, estest.Index(t, url)+"?gzip=true", esstore.Config{})
		events := sample(500)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		if !zipped {
			t.Error("nothing was compressed")
		}
	})
}

// TestPlainRequests: a proxy may know only the plain media types, and may hide which
// server stands behind it.
func TestPlainRequests(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		p.hidden = "X-Elastic-Product"
		p.check = func(w http.ResponseWriter, r *http.Request) bool {
			switch r.Header.Get("Content-Type") {
			case "", "application/json", "application/x-ndjson":
				return r.Header.Get("Accept") == "application/json" || !refuse(w, http.StatusNotAcceptable, `{}`)
			}
			return !refuse(w, http.StatusUnsupportedMediaType, `{}`)
		}
		index := estest.Index(t, url)
		s := openOn(t, p.URL, index, esstore.Config{})
		events := sample(3)
		if err := s.Save(t.Context(), events); err != nil {
			t.Fatal(err)
		}
		wantAll(t, s, events)
		if got := count(t, url, index, "labels.order:1"); got != 1 {
			t.Errorf("%d documents are found by a label, want 1: the template is not the server's", got)
		}
	})
}

// likeOfficial does what the transports of the official clients do with a request: it
// fills in the address, reads the body into memory and never closes the original.
type likeOfficial struct{ base *neturl.URL }

func (c likeOfficial) Perform(r *http.Request) (*http.Response, error) {
	r.URL.Scheme, r.URL.Host = c.base.Scheme, c.base.Host
	if r.Body != nil && r.Body != http.NoBody {
		var buf bytes.Buffer
		if _, err := buf.ReadFrom(r.Body); err != nil {
			return nil, err
		}
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }
		r.Body, _ = r.GetBody()
		r.ContentLength = int64(buf.Len())
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestClientOfTheApplication(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		base, err := neturl.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		s, err := esstore.New(t.Context(), likeOfficial{base}, esstore.Config{Index: estest.Index(t, url)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		events := sample(50)
		for at := range events {
			if err := s.Save(t.Context(), events[at:at+1]); err != nil {
				t.Fatal(err)
			}
		}
		wantAll(t, s, events)
	})
	if _, err := esstore.New(t.Context(), nil, esstore.Config{}); err == nil {
		t.Error("New without a client gives no error")
	}
}
