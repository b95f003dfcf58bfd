package esstore_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestCheck: what a server, or one with security as a proxy stands for it, says of rights, its
// time, closed indices and dead letters is a finding, and a gap where it weakens the trail.
func TestCheck(t *testing.T) {
	estest.Each(t, func(t *testing.T, url string) {
		p := newProxy(t, url)
		index := estest.Index(t, url)
		s := openOn(t, p.URL, index, esstore.Config{})
		if err := s.Save(t.Context(), sample(1)); err != nil {
			t.Fatal(err)
		}
		// says wants each of words in a line of its own, and as many gaps.
		says := func(when string, gaps int, words ...string) {
			t.Helper()
			findings, err := s.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			found := 0
			for _, f := range findings {
				lines = append(lines, f.Text)
				if f.Gap {
					found++
				}
			}
			all := strings.Join(lines, "\n")
			for _, w := range words {
				if !strings.Contains(all, w) {
					t.Errorf("%s it lacks %q", when, w)
				}
			}
			if found != gaps {
				t.Errorf("%s there are %d gaps, want %d", when, found, gaps)
			}
			if t.Failed() {
				t.Logf("%s it says\n%s", when, all)
			}
		}
		says("at first", 0, "the server has no security", "0 events are in the index "+index+"-dead-letter")

		told := `{"username":"shop","index":{"` + index + `":{"read":true,"create_doc":true,"write":true,"delete":true,"delete_index":false,"manage":false}}}`
		p.check = func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path != "/_security/user/_has_privileges" || !refuse(w, http.StatusOK, told)
		}
		says("of a user who may delete", 2, "user shop may delete in "+index, "user shop may not delete_index in "+index, "no more than a second")

		p.check = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/" {
				return true
			}
			w.Header().Set("Date", time.Now().Add(-90*time.Second).UTC().Format(http.TimeFormat))
			return !refuse(w, http.StatusOK, "{}")
		}
		says("of a clock that is late", 1, "the server's clock is at least 1m")

		p.check = nil
		succeed(t, http.MethodPut, url+"/"+index+"-dead-letter/_doc/1?refresh=true", `{}`)
		succeed(t, http.MethodPost, url+"/"+index+"/_close", "")
		says("of a closed index and a dead letter", 2, "index "+index+" is closed", "1 events are in the index "+index+"-dead-letter")
	})
}
