package cookbook

import (
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// The layer that denies audits, so it stands inside the audit's Middleware. It denies
// whatever becomes of the audit. Anonymous keeps the event also when nobody is signed in.
func Example_deniedRequest() {
	adminsOnly := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if currentUser(r) == "root" || !strings.HasPrefix(r.URL.Path, "/admin/") {
				next.ServeHTTP(w, r)
				return
			}
			if err := nethttpaudit.Audit(r, "admin", nil, core.Anonymous(), core.Denied("not an administrator")); err != nil {
				log.Print(err)
			}
			http.Error(w, "not for you", http.StatusForbidden)
		})
	}
	rec := newTrail()
	app := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	user := nethttpaudit.User(func(r *http.Request) (string, error) { return currentUser(r), nil })
	handler := nethttpaudit.Middleware(rec, user)(adminsOnly(app))

	for _, name := range []string{"root", "alice", ""} {
		r := httptest.NewRequest("DELETE", "/admin/users", nil)
		r.SetBasicAuth(name, "")
		send(handler, r)
	}
	show(rec)
	// Output:
	// 200 OK
	// 403 Forbidden
	// 403 Forbidden
	// admin by alice denied not an administrator at /admin/users map[]
	// admin by nobody denied not an administrator at /admin/users map[]
}

// currentUser stands for what your application knows.
func currentUser(r *http.Request) string {
	name, _, _ := r.BasicAuth()
	return name
}
