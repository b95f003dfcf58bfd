package cookbook

import (
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Detach, called before the handler returns, keeps the user and the request for what
// goes on after it.
func Example_workThatOutlivesItsRequest() {
	done := make(chan struct{})
	report := func(w http.ResponseWriter, r *http.Request) {
		ctx := nethttpaudit.Detach(r)
		go func() {
			defer close(done)
			<-r.Context().Done() // the response was sent long ago
			if err := core.Audit(ctx, "report", core.Fields{"pages": 3}); err != nil {
				log.Print(err)
			}
		}()
		w.WriteHeader(http.StatusAccepted)
	}
	rec := newTrail()
	server := httptest.NewServer(nethttpaudit.Middleware(rec, signedIn("alice"))(http.HandlerFunc(report)))
	if response, err := http.Post(server.URL+"/report", "", nil); err == nil {
		response.Body.Close()
	}
	<-done
	server.Close()
	show(rec)
	// Output: report by alice at /report map[pages:3]
}
