package auditpage

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage/internal/scoped"
)

const (
	// maxForm is far more than the form of an export holds.
	maxForm = 64 << 10
	// writeTime is how long a browser may take for a piece of an export.
	writeTime = time.Minute
)

// format is one in which what is shown can be had as a file.
type format struct {
	Format export.Format
	Label  string
}

var formats = []format{{export.CSV, "CSV"}, {export.JSONL, "JSON lines"}, {export.ECS, "ECS"}, {export.OCSF, "OCSF"}}

// export answers with all that is asked for, as a file and its manifest in a ZIP. That it
// begins is audited before, and what was in it afterwards.
func (p *page) export(w http.ResponseWriter, v viewer, a *ask) {
	v.r.Body = http.MaxBytesReader(w, v.r.Body, maxForm)
	f := export.Format(v.r.PostFormValue("format"))
	if !slices.Contains(export.Formats(), f) {
		a.problem("There is no such format.")
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), readTime)
	defer cancel()
	v.reader.Looks = a.looks
	a.query.After = ""
	queries := a.queries(1)
	if len(a.problems) == 0 {
		// Whatever keeps it from being read is better said on a page than in a broken file.
		got, err := scoped.Any(ctx, v.reader, queries)
		if err != nil && len(got.Events) == 0 {
			p.failed(ctx, w, v, a, err)
			return
		}
	}
	if len(a.problems) > 0 {
		p.answer(w, http.StatusBadRequest, v, a, content{Title: "Events", List: p.form(ctx, v, a, nil)})
		return
	}
	begin := look{view: "export", format: f}
	if err := p.audit(v, a, begin); err != nil {
		p.unavailable(w, "nothing is exported, because that could not be audited", err)
		return
	}
	name := "audits-" + time.Now().UTC().Format("20060102T150405Z")
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.zip"`)
	whole, _ := scoped.And(a.whole(), v.reader.Scope) // so that the manifest says what the viewer may see
	manifest, err := writeZip(v.r.Context(), patient{w, http.NewResponseController(w)}, name, anyOf{v.reader, queries}, whole, export.Options{Format: f, By: v.user})
	if err != nil {
		p.rec.Logger().Error("auditing: auditpage: an export is not complete", "error", err)
	}
	if err := p.audit(v, a, look{view: "export", format: f, manifest: &manifest}); err != nil {
		p.rec.Logger().Error("auditing: auditpage: what was in an export could not be audited", "error", err)
	}
}

// writeZip writes the file and its manifest.
func writeZip(ctx context.Context, w io.Writer, name string, reader core.Reader, q core.Query, o export.Options) (export.Manifest, error) {
	z := zip.NewWriter(w)
	extension := map[export.Format]string{export.CSV: ".csv"}[o.Format]
	if extension == "" {
		extension = ".jsonl"
	}
	entry := func(name string) (io.Writer, error) {
		return z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Now()})
	}
	file, err := entry(name + extension)
	if err != nil {
		return export.Manifest{}, err
	}
	m, failed := export.Write(ctx, file, reader, q, o)
	if file, err = entry(name + ".manifest.json"); err != nil {
		return m, err
	}
	e := json.NewEncoder(file)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return m, err
	}
	if err := z.Close(); err != nil {
		return m, err
	}
	return m, failed
}

// anyOf reads what matches any of several queries in the window, and from the place, of one.
type anyOf struct {
	reader  core.Reader
	queries []core.Query
}

func (r anyOf) Read(ctx context.Context, q core.Query) (core.Page, error) {
	queries := slices.Clone(r.queries)
	for i := range queries {
		queries[i].From, queries[i].To, queries[i].Limit, queries[i].After = q.From, q.To, q.Limit, q.After
	}
	return scoped.Any(ctx, r.reader, queries)
}

// patient is a response that may take its time as long as it goes on.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(data []byte) (int, error) {
	// Where the deadline cannot be moved, the server's own holds.
	_ = p.control.SetWriteDeadline(time.Now().Add(writeTime))
	return p.ResponseWriter.Write(data)
}
