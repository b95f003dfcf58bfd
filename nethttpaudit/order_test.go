package nethttpaudit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core/audittest"
)

func TestOrderOfInstallation(t *testing.T) {
	rec := audittest.New(t)
	inside := Middleware(rec.Recorder(), User(func(*http.Request) (string, error) { return "alice", nil }))(http.NotFoundHandler())
	outside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := Audit(r, "refund", nil)
		inside.ServeHTTP(w, r)
		for when, err := range map[string]error{"before": before, "after": Audit(r, "refund", nil)} {
			if err == nil || !strings.Contains(err.Error(), "outside of") || !strings.Contains(err.Error(), "install") || strings.Contains(err.Error(), "nil recorder") {
				t.Errorf("an audit outside of the middleware, %s it ran: %v", when, err)
			}
		}
	})
	outside.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil))
}
