package cookbook

import (
	"net/http"
	"net/http/httptest"

	"github.com/alexedwards/scs/v2"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// scs keeps its session in the request's context, and User reads it there when an audit
// is made: LoadAndSave may stand outside or inside of the audit's Middleware.
func Example_scs() {
	sessions := scs.New()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.RenewToken(r.Context()); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		sessions.Put(r.Context(), "username", "alice") // whose password was checked
	})
	mux.HandleFunc("POST /refund", func(w http.ResponseWriter, r *http.Request) {
		if err := nethttpaudit.Audit(r, "refund", core.Fields{"order": "A-1"}); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	user := nethttpaudit.User(func(r *http.Request) (string, error) {
		return sessions.GetString(r.Context(), "username"), nil
	})
	rec := newTrail()
	handler := nethttpaudit.Middleware(rec, user)(sessions.LoadAndSave(mux))

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("POST", "/login", nil))
	r := httptest.NewRequest("POST", "/refund", nil)
	r.AddCookie(w.Result().Cookies()[0])
	send(handler, r)
	show(rec)
	// Output:
	// 200 OK
	// refund by alice at /refund map[order:A-1]
}
