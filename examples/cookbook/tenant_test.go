package cookbook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

type tenantKey struct{}

// The tenant comes from the context, where your own middleware has put it, and never from a
// field: no form can move an event into another customer's trail. Without a tenant the audit
// fails rather than belong to nobody.
func Example_tenant() {
	rec := newTrailWith(core.Config{Tenant: func(ctx context.Context) (string, error) {
		if tenant, ok := ctx.Value(tenantKey{}).(string); ok {
			return tenant, nil
		}
		return "", errors.New("no tenant in the context")
	}})
	byHost := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, r.Host)))
		})
	}
	export := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := nethttpaudit.Audit(r, "export", nil); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	handler := nethttpaudit.Middleware(rec, signedIn("alice"))(byHost(export))
	send(handler, httptest.NewRequest("POST", "http://acme.example/export", nil))
	send(handler, httptest.NewRequest("POST", "http://umbrella.example/export?tenant=acme.example", nil))

	page, err := rec.Read(context.Background(), core.Query{Tenant: "acme.example"})
	fmt.Println(len(page.Events), err)
	show(rec)
	// Output:
	// 200 OK
	// 200 OK
	// 1 <nil>
	// export by alice at /export map[]
	// export by alice at /export map[]
}
