// Package export writes audits into a file that others read, with a manifest that says what
// is in it.
//
//	file, err := os.Create("audits.csv")
//	manifest, err := export.Write(ctx, file, rec, core.Query{From: quarter}, export.Options{Format: export.CSV, By: "alice"})
//
// # What it promises
//
// Every event that could be read when Write began, and that is from before then, is in the
// file once, newest first. One that arrives while Write runs, because its audit was still
// under way or its spool was behind, may be there or not. That the file has them all is what
// its [Manifest] says if it is Complete; of an event that was never stored, or that somebody
// has taken away, nothing does.
//
// Write keeps about a page of events in memory, however many there are. For [CSV] it reads
// them twice, as the names of the columns come first.
//
// export.go writes a file, walk.go reads the events, csv.go and ocsf.go have a format each;
// those of the others are [core.Event.AppendJSON] and package ecs.
package export

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
	"github.com/auditing-go/auditing/core/ecs"
)

// Format is what a file is written in. All are UTF-8.
type Format string

const (
	// JSONL is one JSON object a line, from which [core.Event.UnmarshalJSON] makes the
	// event again, with all its values in their kinds. Nothing else keeps so much.
	JSONL Format = "jsonl"
	// CSV is RFC 4180 with a line of names first: a column for each fact of an event, then
	// one for each field, whose name begins with "fields.". What is no text, number, true or
	// false, or time is JSON there. The first 1,000 names have columns, newest event first; the column
	// other_fields has all else as JSON.
	//
	// Spreadsheets take a text that begins with =, +, -, @, a tab or a line break for a formula,
	// so such a text gets an apostrophe in front, and so does one that begins with an
	// apostrophe: what stands behind the first is always the text.
	CSV Format = "csv"
	// ECS is one document of the Elastic Common Schema a line, as package ecs writes it.
	ECS Format = "ecs"
	// OCSF is one event of the Open Cybersecurity Schema Framework 1.8 a line: of the class
	// Authentication [3002] where the tag ends in login, logon, sign_in, logout, logoff or
	// sign_out, in any spelling and also before failed, denied or the like, and of the class
	// API Activity [6003] else. What has no place in it stands in unmapped.
	OCSF Format = "ocsf"
)

// Formats are all that [Write] knows.
func Formats() []Format { return []Format{JSONL, CSV, ECS, OCSF} }

// Options say how to export.
type Options struct {
	// Format defaults to [JSONL].
	Format Format
	// By is who exports. It is required, and stands in the manifest; who wants the export
	// itself audited does that, as [core.TagRead].
	By string
}

// Manifest says what is in a file. Its JSON belongs beside the file.
type Manifest struct {
	// Format is that of the file.
	Format Format `json:"format"`
	// Query is what was asked for, as [core.Query.Describe] says it, but for the time.
	Query json.RawMessage `json:"query"`
	// From and To are the window: no event is older than From, if that is set, and each is
	// older than To, which is At unless an earlier one was asked for.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to"`
	// By is who exported, At when that began, and Ended when it ended.
	By    string    `json:"by"`
	At    time.Time `json:"at"`
	Ended time.Time `json:"ended"`
	// Events is how many are in the file; First is the id of its first one, the newest, and
	// Last that of its last one.
	Events int       `json:"events"`
	First  uuid.UUID `json:"first,omitzero"`
	Last   uuid.UUID `json:"last,omitzero"`
	// Bytes and SHA256, in hex, are those of the whole file.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Complete says that everything is in the file that could be read when Write began;
	// Missing says else what is not, as far as it is known.
	Complete bool     `json:"complete"`
	Missing  []string `json:"missing,omitempty"`
	// Unaudited says that the export itself was not audited. Write never sets it.
	Unaudited bool `json:"unaudited,omitempty"`
	// Promise is what Complete means, in words.
	Promise string `json:"promise"`
}

const promise = "If complete: every event of the query that could be read when the export began and is from before then, once. " +
	"Events that arrived during the export may be among them or not."

// Write writes the events of reader that q selects to w, newest first, and describes what it
// has written. Limit means nothing, and After has to be empty. reader may be a
// [*core.Recorder].
//
// An error stands beside what could be written all the same, and the manifest, which is then
// not Complete, describes that.
func Write(ctx context.Context, w io.Writer, reader core.Reader, q core.Query, o Options) (Manifest, error) {
	now := time.Now().UTC()
	switch {
	case reader == nil:
		return Manifest{}, errors.New("export: the reader is nil: pass a recorder, or a store that can be read")
	case o.By == "":
		return Manifest{}, errors.New("export: Options.By is empty: say who exports")
	case q.After != "":
		return Manifest{}, errors.New("export: the query has an After: an export is whole, and begins with the newest event")
	}
	if o.Format == "" {
		o.Format = JSONL
	}
	// An event of this very microsecond may be on its way still.
	q = q.Normalize()
	if begun := now.Truncate(time.Microsecond); q.To.IsZero() || q.To.After(begun) {
		q.To = begun
	}
	asked := q.Describe()
	delete(asked, "from")
	delete(asked, "to")
	x := writing{
		hash: sha256.New(),
		m: Manifest{
			Format: o.Format, Query: auditjson.Append(nil, asked), From: q.From, To: q.To, By: o.By, At: now,
			SHA256: hex.EncodeToString(sha256.New().Sum(nil)), Promise: promise,
		},
	}
	x.w = bufio.NewWriterSize(io.MultiWriter(w, x.hash), 64<<10)
	err := x.start(ctx, reader, q)
	if err == nil {
		err = walk(ctx, reader, q, x.event)
	}
	if flushed := x.w.Flush(); flushed != nil && !errors.Is(err, flushed) {
		err = errors.Join(err, flushed)
	}
	x.m.Ended = time.Now().UTC()
	x.m.SHA256 = hex.EncodeToString(x.hash.Sum(nil))
	x.m.Complete = err == nil
	if err != nil {
		x.m.Missing = reasons(err)
		err = fmt.Errorf("export: not everything was exported: %w", err)
	}
	return x.m, err
}

// writing is one Write.
type writing struct {
	w      *bufio.Writer
	hash   hash.Hash
	m      Manifest
	append func(dst []byte, e core.Event) []byte
	line   []byte
}

// start finds out how to write an event, and writes what stands before the first.
func (x *writing) start(ctx context.Context, reader core.Reader, q core.Query) error {
	switch x.m.Format {
	case JSONL:
		x.append = func(dst []byte, e core.Event) []byte { return append(e.AppendJSON(dst), '\n') }
	case ECS:
		x.append = func(dst []byte, e core.Event) []byte { return append(ecs.Append(dst, e), '\n') }
	case OCSF:
		x.append = appendOCSF
	case CSV:
		t, err := newTable(ctx, reader, q)
		if err != nil {
			return err
		}
		x.append = t.appendRow
		return x.write(t.appendHead(nil))
	default:
		return fmt.Errorf("the format %.40q is not known: it is one of %q", string(x.m.Format), Formats())
	}
	return nil
}

// event writes one event and returns its size.
func (x *writing) event(e core.Event) (int, error) {
	x.line = x.append(x.line[:0], e)
	if err := x.write(x.line); err != nil {
		return 0, err
	}
	if x.m.Events == 0 {
		x.m.First = e.ID
	}
	x.m.Events++
	x.m.Last = e.ID
	return len(x.line), nil
}

func (x *writing) write(data []byte) error {
	n, err := x.w.Write(data)
	x.m.Bytes += int64(n)
	return err
}
