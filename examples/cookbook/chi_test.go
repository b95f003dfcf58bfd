package cookbook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

var chiRequestID = nethttpaudit.RequestID(func(r *http.Request) string { return middleware.GetReqID(r.Context()) })

// chi is built on http.Handler, so package nethttpaudit is its adapter. chi's request ID,
// made outside, is recorded as well.
func Example_chi() {
	rec := newTrail()
	r := chi.NewRouter()
	r.Use(middleware.RequestID)
	r.Use(nethttpaudit.Middleware(rec, signedIn("alice"), chiRequestID))
	r.Post("/orders/{order}/refund", func(w http.ResponseWriter, r *http.Request) {
		err := nethttpaudit.Audit(r, "refund", core.Fields{"order": chi.URLParam(r, "order")})
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})

	send(r, httptest.NewRequest("POST", "/orders/A-1/refund", nil))
	page, err := rec.Read(context.Background(), core.Query{})
	for _, e := range page.Events {
		fmt.Println(e.Request.Route, e.Request.ID != "", err)
	}
	show(rec)
	// Output:
	// 200 OK
	// /orders/{order}/refund true <nil>
	// refund by alice at /orders/A-1/refund map[order:A-1]
}
