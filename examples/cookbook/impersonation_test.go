package cookbook

import (
	"net/http"
	"net/http/httptest"

	"github.com/auditing-go/auditing/nethttpaudit"
)

// Who works in another's account is the actor, and the owner of the account is for whom: the
// session knows both. Here two cookies stand for it.
func Example_impersonation() {
	in := func(cookie string) func(*http.Request) (string, error) {
		return func(r *http.Request) (string, error) {
			if found := r.CookiesNamed(cookie); len(found) > 0 {
				return found[0].Value, nil
			}
			return "", nil
		}
	}
	rec := newTrail()
	change := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := nethttpaudit.Audit(r, "email.change", nil); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	handler := nethttpaudit.Middleware(rec, nethttpaudit.User(in("user")), nethttpaudit.Impersonator(in("admin")))(change)

	r := httptest.NewRequest("POST", "/email", nil)
	r.AddCookie(&http.Cookie{Name: "user", Value: "alice"})
	send(handler, r)
	r.AddCookie(&http.Cookie{Name: "admin", Value: "root"})
	send(handler, r)
	show(rec)
	// Output:
	// 200 OK
	// 200 OK
	// email.change by alice at /email map[]
	// email.change by root for alice at /email map[]
}
