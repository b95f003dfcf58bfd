package adaptertest_test

import (
	"net/http"
	"testing"

	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/nethttpaudit/adaptertest"
)

// newServer gives what a Setup asks for to the adapter's own Middleware and options. This
// one knows only User; adapter_test.go of package nethttpaudit is complete.
func newServer(setup adaptertest.Setup) http.Handler {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setup.Handle(&adaptertest.Call{Writer: w, Request: r})
	})
	return nethttpaudit.Middleware(setup.Recorder, nethttpaudit.User(setup.User))(handler)
}

// In the tests of an adapter this function would be called TestAdapter.
func ExampleRun() {
	_ = func(t *testing.T) {
		adaptertest.Run(t, adaptertest.Adapter{New: newServer})
	}
}
