package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/examples/internal/shop/shoptest"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

func TestMain(m *testing.M) { estest.Main(m) }

func TestRefund(t *testing.T) { shoptest.Refund(t, newHandler) }

// start runs the command until the test ends and returns the address of its page.
func start(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, args, stdout)
		stdout.Close()
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		go io.Copy(io.Discard, out)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at := regexp.MustCompile(`http://\S+`).FindString(lines.Text()); at != "" {
			return at
		}
	}
	t.Fatal("the command names no address")
	return ""
}

// TestRefundInTheCluster does what the command's comment says.
func TestRefundInTheCluster(t *testing.T) {
	estest.Each(t, func(t *testing.T, server string) {
		index := estest.Index(t, server)
		page := start(t, "-addr", "127.0.0.1:0", "-dsn", server+"/"+index)
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		browser := &http.Client{Jar: jar, Transport: &http.Transport{}}
		defer browser.CloseIdleConnections()
		post := func(path string, form url.Values) {
			t.Helper()
			resp, err := browser.PostForm(page+path, form)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/" {
				t.Fatalf("POST %s led to %s with %s", path, resp.Request.URL, resp.Status)
			}
		}
		post("/login", url.Values{"username": {"alice"}})
		post("/refund", url.Values{"order": {"A-1"}, "amount": {"9.50"}})
		shown, err := browser.Get(page + "/audits") // so that it is flushed
		if err != nil {
			t.Fatal(err)
		}
		shown.Body.Close()

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
