package cookbook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"
)

// probes answers an orchestrator. Liveness looks at nothing else: a restart mends no
// database. Readiness ends with ctx, before the server does.
func probes(ctx context.Context, mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ctx.Err() != nil {
			http.Error(w, "shutting down", http.StatusServiceUnavailable)
		}
	})
}

// settled ends a while after ctx does: give it to serve of shutdown_test.go, so that the
// old program goes on answering until the load balancer has seen that it is not ready.
// The orchestrator's grace period (terminationGracePeriodSeconds, 30 seconds by default)
// must allow for the while and the drain.
func settled(ctx context.Context, while time.Duration) context.Context {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(while, cancel) })
	return later
}

// While two versions run, both may write: they create the same tables and columns side by
// side, and a field that only the new one has is NULL in rows of the old one.
func Example_probesAndRollingUpdates() {
	ctx, terminate := context.WithCancel(context.Background())
	later := settled(ctx, time.Millisecond)
	mux := http.NewServeMux()
	probes(ctx, mux)
	ask := func() {
		send(mux, httptest.NewRequest("GET", "/livez", nil))
		send(mux, httptest.NewRequest("GET", "/readyz", nil))
	}
	ask()
	terminate()
	ask()
	<-later.Done()
	fmt.Println("now the server shuts down")
	// Output:
	// 200 OK
	// 200 OK
	// 200 OK
	// 503 Service Unavailable
	// now the server shuts down
}
