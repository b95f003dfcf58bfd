package nethttpaudit

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// A Middleware that can never know anybody says so, once.
func TestMiddlewareWithoutUser(t *testing.T) {
	said := func(opts ...Option) string {
		var log bytes.Buffer
		rec := audittest.NewConfig(t, core.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}).Recorder()
		middleware := Middleware(rec, opts...)
		middleware(http.NotFoundHandler())
		middleware(http.NotFoundHandler())
		return log.String()
	}
	text := said()
	for _, want := range []string{"level=WARN", "nethttpaudit.Middleware", "SessionUser", "User", "core.As"} {
		if !strings.Contains(text, want) {
			t.Errorf("logged %q, want %s in it", text, want)
		}
	}
	if n := strings.Count(text, "\n"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	if text := said(User(func(*http.Request) (string, error) { return "", nil })); text != "" {
		t.Errorf("logged %q though an option says who acts", text)
	}
	Middleware(nil) // has no logger to tell, and may stand inside of another
}
