package cookbook

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
	_ "github.com/auditing-go/auditing/stores/sqlite"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// newTrail opens an audit trail in memory. A program names a file, or another store.
func newTrail() *core.Recorder { return newTrailWith(core.Config{}) }

func newTrailWith(cfg core.Config) *core.Recorder {
	store, err := stores.Open(context.Background(), "sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, cfg)
	if err != nil {
		log.Fatal(err)
	}
	return rec
}

// show prints what was audited, the oldest first, and closes the trail.
func show(rec *core.Recorder) {
	ctx := context.Background()
	page, err := rec.Read(ctx, core.Query{})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range slices.Backward(page.Events) {
		said := []any{e.Tag, "by", cmp.Or(e.User, "nobody")}
		if e.OnBehalfOf != "" {
			said = append(said, "for", e.OnBehalfOf)
		}
		if e.Target != "" {
			said = append(said, "on", e.Target)
		}
		if e.Outcome != "" {
			said = append(said, e.Outcome, e.Reason)
		}
		if e.Request != nil {
			said = append(said, "at", e.Request.Path)
		} else {
			said = append(said, "outside a request")
		}
		fmt.Println(append(said, e.Fields)...)
	}
	if err := rec.Close(ctx); err != nil {
		log.Fatal(err)
	}
}

// send prints how handler answers r.
func send(handler http.Handler, r *http.Request) {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, http.StatusText(w.Code))
}

// signedIn stands for your session: user is signed in, nobody if it is "".
func signedIn(user string) nethttpaudit.Option {
	return nethttpaudit.User(func(*http.Request) (string, error) { return user, nil })
}
