package auditpage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
)

// tenants are two that share a trail. What belongs to theirs alone has their name in it.
var tenants = []string{"home", "foreign"}

type tenantKey struct{}

func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}

// of asks for href as a tenant.
func (s site) of(tenant, href string) answer {
	s.t.Helper()
	ctx := context.WithValue(s.t.Context(), tenantKey{}, tenant)
	href, _, _ = strings.Cut(href, "#")
	return s.do(httptest.NewRequestWithContext(ctx, http.MethodGet, "/audit/"+href, nil))
}

// sharedTrail is a page on a trail of both tenants and of one who sees everything.
func sharedTrail(t *testing.T) site {
	const sees = "all, of " // before the tenant of who sees everything
	rec := newRecorder(t, core.Config{Tenant: func(ctx context.Context) (string, error) { return strings.TrimPrefix(tenantOf(ctx), sees), nil }})
	s := newSite(t, rec, auditpage.Config{
		Scope: func(r *http.Request) (core.Query, error) {
			if tenant := tenantOf(r.Context()); !strings.HasPrefix(tenant, sees) {
				return core.Query{Tenant: tenant}, nil
			}
			return core.Query{}, nil
		},
	})
	for i := range 160 {
		tenant := tenants[i%2]
		ctx := context.WithValue(t.Context(), tenantKey{}, tenant)
		tag := []string{"shared", tenant + ".refund", tenant + ".login"}[i%3]
		err := rec.Audit(ctx, tag, core.Fields{"note": tenant + "-note", "number": i, "change": map[string]any{"old": tenant + "-old", "new": i}},
			core.As(tenant+"-user"), core.On("order", fmt.Sprint(tenant, "-", i%7)), core.OnBehalfOf(tenant+"-customer"), core.Denied(tenant+"-reason"),
			core.At(noon.Add(time.Duration(i)*time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestScopedTenant: whatever address a tenant asks for, nothing of another's is in the answer
// that was not in the address.
func TestScopedTenant(t *testing.T) {
	s := sharedTrail(t)
	// Looks of those who see more lie in the trail as well, also ones with the tenant's own name.
	var before strings.Builder // what the tenant asked for: its own looks say that
	for _, viewer := range []string{"foreign", "all, of home", "all, of foreign", "home"} {
		for _, href := range []string{"?", "?tag=foreign.refund", "?user=foreign-user&looks=1"} {
			if viewer == "home" {
				before.WriteString(href)
			}
			s.of(viewer, href).wantStatus(http.StatusOK)
		}
	}
	everything := s.events(core.Query{Limit: core.MaxLimit})
	var foreign, cursors, ids []string
	for _, e := range everything {
		if e.Tenant != "home" {
			foreign = append(foreign, e.ID.String())
		}
		ids = append(ids, e.ID.String())
		cursors = append(cursors, core.Cursor{Time: e.Time, ID: e.ID}.String())
	}
	if len(foreign) < 80 || len(foreign) == len(ids) {
		t.Fatalf("%d of %d events are foreign", len(foreign), len(ids))
	}
	values := map[string][]string{
		"tag":      {"shared", "home.refund", "foreign.refund", "foreign_refund", core.TagRead, "audit.start", ""},
		"user":     {"home-user", "foreign-user", "alice"},
		"for":      {"home-customer", "foreign-customer"},
		"resource": {"order/home-1", "order/foreign-1", "order/"},
		"outcome":  {"denied", "success"},
		"reason":   {"home-reason", "foreign-reason"},
		"tenant":   {"home", "foreign", "", "HOME", "home\x00", "all"},
		"ip":       {"192.0.2.1", ""}, "request": {"x"}, "anonymous": {"1"}, "looks": {"1"},
		"field": {"note", "number", "tenant", "query", "first"}, "value": {"home-note", "foreign-note", "3", "foreign"},
		"from": {"2026-11-20", "2026-11-22T01:00", "x"}, "before": {"2026-11-24", "2026-11-21T05:00"},
		"zone": {"UTC", "Asia/Tokyo", "x"}, "view": {"timeline", "list"}, "after": cursors, "back": cursors, "event": ids,
		"limit": {"10000"}, "scope": {"all"}, "id": ids,
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	rnd := rand.New(rand.NewPCG(11, 12))
	shown := 0
	var links []string
	for i := range 250 {
		v := url.Values{}
		for range rnd.IntN(4) {
			name := names[rnd.IntN(len(names))]
			v.Add(name, values[name][rnd.IntN(len(values[name]))])
		}
		href := "?" + v.Encode()
		if i%3 == 0 && len(links) > 0 { // what the page itself leads to
			href = links[rnd.IntN(len(links))]
		}
		a := s.of("home", href)
		if a.StatusCode >= 500 {
			t.Fatalf("%s is answered with %d", href, a.StatusCode)
		}
		shown += len(a.rows())
		asked, _ := url.QueryUnescape(href)
		if strings.Contains(a.body, core.TagRead) {
			earlier, _ := url.QueryUnescape(before.String())
			asked += earlier
		}
		before.WriteString(href)
		for _, id := range foreign {
			if strings.Contains(a.body, id) && !strings.Contains(asked, id) {
				t.Fatalf("%s shows the foreign event %s:\n%s", asked, id, text(a.tree))
			}
		}
		for _, word := range []string{"foreign-user", "foreign-note", "foreign-old", "foreign-reason", "foreign-customer", "foreign.refund", "foreign.login", "order/foreign"} {
			if strings.Contains(a.body, word) && !strings.Contains(asked, word) {
				t.Fatalf("%s shows %s:\n%s", asked, word, text(a.tree))
			}
		}
		for _, n := range a.all(isLink) {
			if href := attr(n, "href"); strings.HasPrefix(href, "?") {
				links = append(links, href)
			}
		}
		if i%5 != 0 || a.StatusCode != http.StatusOK {
			continue
		}
		ctx := context.WithValue(t.Context(), tenantKey{}, "home")
		file, m := s.post(ctx, href, "jsonl").exported()
		if !strings.Contains(file, core.TagRead) && strings.Contains(file, "foreign") || slices.Contains(foreign, m.First.String()) || slices.Contains(foreign, m.Last.String()) {
			t.Fatalf("%s exports what is foreign: %+v\n%s", asked, m, file)
		}
	}
	if shown < 200 {
		t.Errorf("only %d events were shown at all", shown)
	}
}

// TestScopedEvent: an event of another's does not exist.
func TestScopedEvent(t *testing.T) {
	s := sharedTrail(t)
	for _, e := range s.events(core.Query{Limit: 4}) {
		want := http.StatusOK
		if e.Tenant != "home" {
			want = http.StatusNotFound
		}
		s.of("home", "?event="+e.ID.String()).wantStatus(want)
		s.of("all, of foreign", "?event="+e.ID.String()).wantStatus(http.StatusOK)
	}
}

// TestHide: a hidden field is neither seen nor found, and says so of no event.
func TestHide(t *testing.T) {
	rec := newRecorder(t, core.Config{Protect: []func(string, any) any{core.Keyed([]byte("key"), "iban")}})
	open := newSite(t, rec, auditpage.Config{})
	s := newSite(t, rec, auditpage.Config{Hide: func(tag, field string) bool { return field == "iban" || tag == "hr" && field == "salary" }})
	s.event("hr", core.Fields{"salary": 5000, "change": map[string]any{"salary": 7000, "grade": "x"}})
	s.event("game", core.Fields{"salary": 5000})
	s.event("pay", core.Fields{"iban": "DE7", "amount": 1})
	for _, a := range []answer{s.get(), s.open(s.get("tag", "hr").link("2026-11-20 12:00:00")), s.open(s.get("tag", "pay").link("2026-11-20 12:00:00"))} {
		a.wantStatus(http.StatusOK)
		for _, hidden := range []string{"7000", "iban", "hmac:"} {
			if a.says(hidden) {
				t.Errorf("the page says %s: %s", hidden, text(a.tree))
			}
		}
	}
	if got := s.get("tag", "hr").rows()[0]["Fields"]; got != `change {"grade":"x"}` {
		t.Errorf("of the salary there is %s", got)
	}
	for _, test := range []struct {
		s            site
		field, value string
		want         string
	}{
		{open, "salary", "5000", "game hr"}, {s, "salary", "5000", "game"},
		{open, "iban", "DE7", "pay"}, {s, "iban", "DE7", ""},
	} {
		var tags []string
		for _, row := range test.s.get("field", test.field, "value", test.value).rows() {
			tags = append(tags, row["What"])
		}
		if slices.Sort(tags); strings.Join(tags, " ") != test.want {
			t.Errorf("%s=%s finds %v, want %s", test.field, test.value, tags, test.want)
		}
	}
	// What others looked for is no way to it either.
	for _, row := range s.get("looks", "1", "tag", core.TagRead).rows() {
		if strings.Contains(row["Fields"], "5000") || strings.Contains(row["Fields"], "iban") {
			t.Errorf("a look says %s", row["Fields"])
		}
	}
}
