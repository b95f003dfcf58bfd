package nethttpaudit

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// TestEndWaitsForALook: what looks at the framework's context has it until the look ends.
func TestEndWaitsForALook(t *testing.T) {
	type frameworkContext struct{ request *http.Request }
	for name, late := range map[string]bool{"sessions": false, "a copy's late look": true} {
		t.Run(name, func(t *testing.T) {
			var origin *Origin
			ended := make(chan struct{})
			look := func() {
				go func() {
					origin.End()
					close(ended)
				}()
				for range 10_000 {
					runtime.Gosched()
				}
				select {
				case <-ended:
					t.Error("the request has ended")
				default:
				}
			}
			f := &Framework{
				Package: "fake",
				Request: func(c any) *http.Request { return c.(*frameworkContext).request },
				Copy:    func(_ any, _ *http.Request, live func(func())) any { return func() { live(look) } },
			}
			opts := []Option{ContextUser(func(read func()) (string, error) {
				read()
				return "alice", nil
			})}
			if !late {
				opts = nil
				f.Sessions = func(any, string) []FoundSession {
					look()
					return nil
				}
			}
			rec, c := audittest.New(t), &frameworkContext{}
			c.request, origin = f.Adapter(rec.Recorder(), opts...).Begin(c, httptest.NewRequest(http.MethodGet, "/x", nil))
			if err := core.Audit(c.request.Context(), "refund", nil); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
}
