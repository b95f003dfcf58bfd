package main

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/examples/internal/shop"
	"github.com/auditing-go/auditing/examples/internal/shop/shoptest"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

func TestMain(m *testing.M) { estest.Main(m) }

func TestRefund(t *testing.T) { shoptest.Refund(t, newHandler) }

// TestRefundInTheCluster does what the command's comment says.
func TestRefundInTheCluster(t *testing.T) {
	estest.Each(t, func(t *testing.T, server string) {
		index := estest.Index(t, server)
		store, err := stores.Open(t.Context(), "elasticsearch", server+"/"+index)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := core.New(store, core.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Close(t.Context())
		page := httptest.NewServer(newHandler(rec, shop.NewSessions()))
		defer page.Close()
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := page.Client()
		browser.Jar = jar
		post := func(path string, form url.Values) {
			t.Helper()
			resp, err := browser.PostForm(page.URL+path, form)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/audits" {
				t.Fatalf("POST %s led to %s with %s", path, resp.Request.URL, resp.Status)
			}
		}
		post("/login", url.Values{"username": {"alice"}})
		post("/refund", url.Values{"order": {"A-1"}, "amount": {"9.50"}}) // and shows it, so that it is flushed

		search := func(query, body string) (found struct {
			Hits struct {
				Hits []struct {
					Source struct {
						User   struct{ Name string }
						Labels map[string]any
					} `json:"_source"`
				}
			}
			Aggregations struct {
				Users struct {
					Buckets []struct {
						Key  string
						Tags struct{ Buckets []struct{ Key string } }
					}
				}
			}
		}) {
			t.Helper()
			method := http.MethodGet
			if body != "" {
				method = http.MethodPost
			}
			status, answer := estest.Do(t, method, server+"/"+index+"/_search"+query, body)
			if err := json.Unmarshal([]byte(answer), &found); err != nil || status != http.StatusOK {
				t.Fatalf("%d %s", status, answer)
			}
			return found
		}
		week, err := os.ReadFile("queries/refunds_of_a_week.json")
		if err != nil {
			t.Fatal(err)
		}
		for name, found := range map[string]struct{ query, body string }{
			"curl":              {"?q=tag:refund&sort=@timestamp:desc&pretty", ""},
			"refunds_of_a_week": {"?pretty", string(week)},
			"KQL":               {"?q=" + url.QueryEscape(`tag:refund AND labels.order:"A-1"`), ""},
		} {
			hits := search(found.query, found.body).Hits.Hits
			if len(hits) != 1 || hits[0].Source.User.Name != "alice" || hits[0].Source.Labels["order"] != "A-1" || hits[0].Source.Labels["amount"] != 9.5 {
				t.Errorf("%s finds %+v, want alice's refund of A-1", name, hits)
			}
		}
		who, err := os.ReadFile("queries/who_did_what.json")
		if err != nil {
			t.Fatal(err)
		}
		users := search("", string(who)).Aggregations.Users.Buckets
		if len(users) != 1 || users[0].Key != "alice" || len(users[0].Tags.Buckets) != 1 || users[0].Tags.Buckets[0].Key != "refund" {
			t.Errorf("who_did_what finds %+v, want alice with refund", users)
		}
		comment, err := os.ReadFile("main.go")
		if err != nil || !strings.Contains(string(comment), "q=tag:refund&sort=@timestamp:desc&pretty'") {
			t.Error("the comment of the command no longer names the search that this test makes")
		}
	})
}
