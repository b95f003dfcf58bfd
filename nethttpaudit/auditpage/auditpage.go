// Package auditpage is the page on which people look at the audit trail: it searches, pages,
// shows one event with everything, and the history of a resource or a user.
//
//	page, err := auditpage.New(rec, auditpage.Config{User: signedIn})
//
//	mux.Handle("/audit/", page)                  // net/http
//	r.Any("/audit/*any", gin.WrapH(page))        // gin
//	e.Any("/audit/*", echo.WrapHandler(page))    // echo
//
// It works under any path, behind whatever the application puts in front of it, because it
// has one path only and all that is asked stands in the query. Its HTML is made on the
// server and needs no JavaScript; nothing is loaded from anywhere.
//
// Looking is audited too, as [core.TagRead], before a row is shown: who, with which query,
// how many events and which. While that cannot be stored the answer is 503 with an empty body.
//
// What is shown can be exported, as a ZIP of a file of package export and its manifest. That
// is a POST, and only the page's own form may send it: browsers say that they do over HTTPS
// and on the local machine, so elsewhere over plain HTTP it is refused.
//
// serve.go answers a request, ask.go reads its query, package scoped reads what the viewer
// may see, list.go, event.go and export.go show it.
package auditpage

import (
	"errors"
	"net/http"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Config says who may see what. Its functions must be safe for concurrent use.
type Config struct {
	// User says who looks: "" is answered with 403 and audited as denied when the middleware
	// knows who it was; an error with 503. It is required.
	//
	//	User: func(r *http.Request) (string, error) {
	//		session, err := store.Get(r, "session")
	//		name, _ := session.Values["username"].(string)
	//		return name, err
	//	}
	User func(*http.Request) (string, error)
	// Scope says what the viewer may see; without it that is everything. Each of its
	// conditions holds for all that the page shows, whatever is asked; Limit and After mean
	// nothing. An error is answered with 503.
	//
	// The zero Query is everything too, so return an error where the tenant, or whatever else
	// bounds the viewer, is not known.
	Scope func(*http.Request) (core.Query, error)
	// Hide says which fields nobody sees here, at whatever depth they stand: they are neither
	// shown nor searched for nor exported.
	Hide func(tag, field string) bool
}

// New returns the page of what rec's store keeps. It is safe for concurrent use.
//
// Audits of looking get their path, host and client IP from the adapter's Middleware that
// stands in front of it, and are what [nethttpaudit.Middleware] would make of them where
// there is none.
func New(rec *core.Recorder, cfg Config) (http.Handler, error) {
	switch {
	case rec.Store() == nil:
		return nil, errors.New("auditpage: the recorder is nil: pass the one from core.New")
	case cfg.User == nil:
		return nil, errors.New("auditpage: Config.User is nil: say who looks, so that looking can be audited")
	}
	p := &page{rec: rec, cfg: cfg, sameOrigin: http.NewCrossOriginProtection()}
	p.alone = nethttpaudit.Middleware(rec, nethttpaudit.User(cfg.User))(http.HandlerFunc(p.serve))
	return p, nil
}

// page is the handler.
type page struct {
	rec        *core.Recorder
	cfg        Config
	sameOrigin *http.CrossOriginProtection // for what is exported
	alone      http.Handler                // for requests without a Middleware in front
}

// ServeHTTP implements [http.Handler].
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if core.HasOrigin(r.Context()) {
		p.serve(w, r)
		return
	}
	p.alone.ServeHTTP(w, r)
}
