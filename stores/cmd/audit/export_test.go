package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
)

// exported reads a manifest and its file.
func exported(t *testing.T, file, manifest string) (m export.Manifest, data string) {
	t.Helper()
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(content); m.SHA256 != hex.EncodeToString(sum[:]) || m.Bytes != int64(len(content)) {
		t.Errorf("the manifest %s is not of this file", text)
	}
	return m, string(content)
}

func TestExport(t *testing.T) {
	each(t, func(p *place) {
		p.refunds(5)
		file := filepath.Join(p.TempDir(), "audits.csv")
		out, stderr := p.run(0, "export", "-format", "csv", "-o", file, "-by", "auditor")
		m, data := exported(p.T, file, file+".manifest.json")
		if out != "" || stderr != "" || strings.Count(data, "\n") != 6 || !strings.Contains(data, "fields.amount") || m.Events != 5 || m.By != "auditor" || !m.Complete || m.Unaudited || m.Format != export.CSV {
			p.Errorf("the manifest is %+v of %s; it says %s%s", m, data, out, stderr)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			p.Errorf("the file is %v (%v), want it for its owner only", info.Mode(), err)
		}
		end := p.read(core.Query{Tag: core.TagRead})[0]
		if end.User != "auditor" || end.Fields["sha256"] != m.SHA256 || end.Fields["events"] != int64(5) || end.Fields["first"] != m.First.String() || end.Fields["complete"] != true {
			p.Errorf("the end is audited as %+v", end)
		}
		if _, stderr := p.run(1, "export", "-o", file); !strings.Contains(stderr, "exists") {
			p.Errorf("over a file that is there it says %s", stderr)
		}
		out, stderr = p.run(0, "export", "-tag", "refund", "-unaudited")
		if strings.Count(out, "\n") != 5 || !strings.Contains(stderr, `"unaudited": true`) {
			p.Errorf("it prints %s%s", out, stderr)
		}
		if n := len(p.read(core.Query{Tag: core.TagRead})); n != 2 {
			p.Errorf("%d looks were audited, want the two of the first", n)
		}
		if _, stderr := p.run(1, "export", "-format", "xml"); !strings.Contains(stderr, "xml") || !strings.Contains(stderr, `"complete": false`) {
			p.Errorf("of a format that is not known it says %s", stderr)
		}
		if end := p.read(core.Query{Tag: core.TagRead})[0]; end.Outcome != core.OutcomeFailure || end.Fields["complete"] != false {
			p.Errorf("that is audited as %+v", end)
		}
	})
}

// pages is a reader of a trail of one event a day.
type pages struct{ first, last time.Time }

func (r pages) Read(_ context.Context, q core.Query) (core.Page, error) {
	for at := r.last; !at.Before(r.first); at = at.Add(-24 * time.Hour) {
		if at.Before(q.To) {
			return core.Page{Events: []core.Event{{Time: at}}}, nil
		}
	}
	return core.Page{}, nil
}

func TestTimeLeft(t *testing.T) {
	last := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for _, days := range []int{1, 100, 10_000} {
		first := last.Add(-time.Duration(days) * 24 * time.Hour)
		got := oldest(t.Context(), pages{first, last}, core.Query{To: last.Add(time.Hour)})
		if off := got.Sub(first).Abs(); off > time.Duration(days)*2*time.Hour+24*time.Hour {
			t.Errorf("of %d days the oldest event is taken to be of %v, %v off", days, got, off)
		}
	}
	if got := oldest(t.Context(), pages{last, last.Add(-1)}, core.Query{To: last}); !got.IsZero() && last.Sub(got) > time.Hour {
		t.Errorf("of no event the oldest is of %v", got)
	}
	p := progress{events: 500, from: last.Add(-100 * time.Hour), to: last}
	if line := p.line(10*time.Second, last.Add(-20*time.Hour)); line != "500 events, 50 a second, at 2026-11-25 04:00:00, about 40s left" {
		t.Errorf("it shows %q", line)
	}
}
