package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
)

// exportFile writes all events that match into a file, and a manifest beside it.
func exportFile(set *flag.FlagSet, a *app) func(context.Context) error {
	a.readFlags(set)
	q := queryFlags(set)
	format := set.String("format", string(export.JSONL), fmt.Sprintf("the `format`: one of %s", export.Formats()))
	name := set.String("o", "", "the `file`, which must not be there; by default standard output")
	manifestName := set.String("manifest", "", "the `file` for the manifest, which must not be there; by default FILE.manifest.json, or standard error without -o")
	return func(ctx context.Context) (err error) {
		if *name != "" {
			*manifestName = cmp.Or(*manifestName, *name+".manifest.json")
		}
		file, err := create(*name, a.stdout)
		if err != nil {
			return err
		}
		manifestFile, err := create(*manifestName, a.stderr)
		if err != nil {
			return errors.Join(err, file.Close(), remove(*name))
		}
		r, err := a.begin(ctx, "export", *q)
		if err != nil {
			return errors.Join(err, file.Close(), manifestFile.Close(), remove(*name), remove(*manifestName))
		}
		q.To = r.until(q.To)
		p := a.progress(ctx, r, *q)
		m, err := export.Write(ctx, file, p, *q, export.Options{Format: export.Format(*format), By: r.by})
		p.end()
		m.Unaudited = a.unaudited
		err = errors.Join(err, file.Close())
		m.Complete = m.Complete && err == nil
		found := core.Fields{"events": m.Events, "format": *format, "bytes": m.Bytes, "sha256": m.SHA256, "complete": m.Complete}
		if m.Events > 0 {
			found["first"], found["last"] = m.First, m.Last
		}
		err = r.end(ctx, err, found)
		data, encoding := json.MarshalIndent(m, "", "  ")
		_, writing := manifestFile.Write(append(data, '\n'))
		return errors.Join(err, encoding, writing, manifestFile.Close())
	}
}

// synced is a file that is on the disk when it is closed.
type synced struct{ *os.File }

func (f synced) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

// open is what is not closed.
type open struct{ io.Writer }

func (open) Close() error { return nil }

// create makes a file that only its owner reads; without a name it is w.
func create(name string, w io.Writer) (io.WriteCloser, error) {
	if name == "" {
		return open{w}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return synced{f}, err
}

// remove removes a file that holds nothing.
func remove(name string) error {
	if name == "" {
		return nil
	}
	return os.Remove(name)
}
