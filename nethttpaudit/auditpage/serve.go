package auditpage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/scoped"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/visible"
)

var (
	//go:embed html/style.css
	styleCSS string
	//go:embed html/*.html
	files embed.FS

	templates = template.Must(template.New("").Funcs(template.FuncMap{"whole": whole}).ParseFS(files, "html/*.html"))

	// policy lets a browser use this style sheet, send the page's own forms, and nothing else.
	policy = func() string {
		sum := sha256.Sum256([]byte(styleCSS))
		return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	}()
)

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// readTime is how long the reads for one page may take.
const readTime = 10 * time.Second

// viewer is who looks, and through what.
type viewer struct {
	user   string
	reader scoped.Reader
	r      *http.Request
}

func (p *page) serve(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "This page can be looked at and exported only.", http.StatusMethodNotAllowed)
		return
	case embedded(r), r.Method == http.MethodPost && p.sameOrigin.Check(r) != nil:
		http.Error(w, "Other sites cannot show the audit trail.", http.StatusForbidden)
		return
	}
	v, err := p.viewer(r)
	switch {
	case err != nil:
		p.unavailable(w, "who looks, or what they may see, cannot be told", err)
		return
	case v.user == "":
		// What becomes of this audit is counted; the answer is the same.
		_ = p.rec.Audit(r.Context(), core.TagRead, nil, core.Denied("may not see the audit trail"))
		http.Error(w, "You may not see the audit trail.", http.StatusForbidden)
		return
	}
	a := parse(r.URL.Query())
	if r.Method == http.MethodPost {
		p.export(w, v, a)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	p.show(ctx, w, v, a)
}

// embedded reports whether another site has the browser load this for a page of its own. It
// sees nothing, but would have its visitors audited as those who looked.
func embedded(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "cross-site" && site != "same-site" {
		return false
	}
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return mode != "" && mode != "navigate" || dest != "" && dest != "document"
}

func (p *page) viewer(r *http.Request) (v viewer, err error) {
	v = viewer{r: r, reader: scoped.Reader{From: p.rec, Hide: p.cfg.Hide}}
	if v.user, err = p.cfg.User(r); err != nil || v.user == "" || p.cfg.Scope == nil {
		return v, err
	}
	v.reader.Scope, err = p.cfg.Scope(r)
	return v, err
}

// unavailable answers 503 with an empty body.
func (p *page) unavailable(w http.ResponseWriter, what string, err error) {
	p.rec.Logger().Error("auditing: auditpage: "+what, "error", err)
	w.Header().Set("Retry-After", "5")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// content is what the templates show.
type content struct {
	Title    string
	Style    template.CSS
	User     string
	Start    string // the address of the search
	Problems []string
	List     *list
	Event    *event
}

// show reads, audits that, and answers.
func (p *page) show(ctx context.Context, w http.ResponseWriter, v viewer, a *ask) {
	c := content{Title: "Events"}
	status := http.StatusOK
	look := look{view: "list"}
	var err error
	switch {
	case len(a.problems) > 0:
		c.List = p.form(ctx, v, a, nil)
		p.answer(w, http.StatusBadRequest, v, a, c)
		return
	case a.query.ID != uuid.Nil:
		c.Title = "Event"
		look.view = "event"
		c.Event, look.events, err = p.event(ctx, v, a)
		if err == nil && c.Event.Row == nil {
			status = http.StatusNotFound
		}
	default:
		if a.timeline {
			c.Title, look.view = "Timeline", "timeline"
		}
		c.List, look.events, err = p.list(ctx, v, a)
	}
	if err != nil {
		p.failed(ctx, w, v, a, err)
		return
	}
	if err := p.audit(v, a, look); err != nil {
		p.unavailable(w, "nothing is shown, because looking at it could not be audited", err)
		return
	}
	p.answer(w, status, v, a, c)
}

// failed answers when nothing could be read.
func (p *page) failed(ctx context.Context, w http.ResponseWriter, v viewer, a *ask, err error) {
	status := p.explain(ctx, a, err)
	if status == 0 {
		p.unavailable(w, "the audits cannot be read", err)
		return
	}
	p.answer(w, status, v, a, content{Title: "Events", List: p.form(ctx, v, a, nil)})
}

// answer writes the page.
func (p *page) answer(w http.ResponseWriter, status int, v viewer, a *ask, c content) {
	c.Style, c.User, c.Start, c.Problems = template.CSS(styleCSS), v.user, a.hrefOf(), a.problems
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, "page", c); err != nil {
		p.rec.Logger().Error("auditing: auditpage: rendering", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may have left
}

// explain says why what is asked cannot be answered, and returns the status of the answer;
// 0 when it is not for the viewer to know.
func (p *page) explain(ctx context.Context, a *ask, err error) int {
	switch {
	case errors.Is(err, core.ErrCursor):
		a.problem("There is no such page of events.")
		return http.StatusBadRequest
	case errors.Is(err, core.ErrHidden):
		a.problem("This value is stored hidden, so it cannot be searched for.")
		return http.StatusBadRequest
	case errors.Is(err, errors.ErrUnsupported):
		a.problem("The store that keeps the audits cannot be read from here.")
		return http.StatusNotImplemented
	case ctx.Err() != nil:
		p.rec.Logger().Error("auditing: auditpage: reading took too long", "error", err)
		a.problem("The search did not end within %v. Narrow it by a time, a tag or a resource.", readTime)
		return http.StatusServiceUnavailable
	}
	return 0
}

// look is what was looked at.
type look struct {
	view   string
	events []core.Event
	// Of an export, and with its manifest once it is over.
	format   export.Format
	manifest *export.Manifest
}

// audit stores who is about to see what.
func (p *page) audit(v viewer, a *ask, l look) error {
	q, _ := scoped.And(a.whole(), v.reader.Scope)
	fields := core.Fields{"view": l.view, "query": q.Describe()}
	result := core.Succeeded()
	switch m := l.manifest; {
	case m != nil:
		fields["format"], fields["events"], fields["sha256"] = string(l.format), m.Events, m.SHA256
		if m.Events > 0 {
			fields["first"], fields["last"] = m.First.String(), m.Last.String()
		}
		if !m.Complete {
			result = core.Failed("the export is not complete")
		}
	case l.format != "":
		fields["format"] = string(l.format)
	default:
		fields["events"] = len(l.events)
		if n := len(l.events); n > 0 {
			fields["first"], fields["last"] = l.events[0].ID.String(), l.events[n-1].ID.String()
		}
	}
	return p.rec.Audit(v.r.Context(), core.TagRead, fields, core.As(v.user), result)
}

// whole is a text with what cannot be seen in it.
func whole(s string) []visible.Part {
	parts, _ := visible.Parts(s, 0)
	return parts
}
