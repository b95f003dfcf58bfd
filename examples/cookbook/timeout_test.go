package cookbook

import (
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Outside: around the whole of the application. http.TimeoutHandler answers while the
// handler goes on, and the audit of that late handler still has its user. Inside gin or
// echo no layer may do that: they give their context to the next request.
func Example_whereTimeoutsBelong() {
	done := make(chan struct{})
	slow := func(_ http.ResponseWriter, r *http.Request) {
		defer close(done)
		<-r.Context().Done() // the client has its answer
		if err := nethttpaudit.Audit(r, "refund", core.Fields{"order": "A-1"}); err != nil {
			log.Print(err)
		}
	}
	rec := newTrail()
	app := nethttpaudit.Middleware(rec, signedIn("alice"))(http.HandlerFunc(slow))
	handler := http.TimeoutHandler(app, time.Millisecond, "too slow")

	send(handler, httptest.NewRequest("POST", "/refund", nil))
	<-done
	show(rec)
	// Output:
	// 503 Service Unavailable
	// refund by alice at /refund map[order:A-1]
}
