package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/spool"
)

const (
	appendName = "append and fsync, one event at a time"
	boltName   = "bbolt, a transaction each"
	boltsName  = "bbolt, its Batch"
)

// counting is the store behind a spool: away until it is open, and then it counts.
type counting struct {
	open  atomic.Bool
	count atomic.Int64
}

func (c *counting) Save(_ context.Context, events []core.Event) error {
	if !c.open.Load() {
		return core.FailAll(len(events), core.Failure{Err: errors.New("away"), Retry: true})
	}
	c.count.Add(int64(len(events)))
	return nil
}

// spoolCases keep events on disk, and read them back for another store. The peers are
// given the bytes that the spool makes of its events.
func spoolCases(ctx context.Context, l *lab) ([]Case, error) {
	quiet := spool.Config{MaxBytes: 64 << 30, Logger: slog.New(slog.DiscardHandler)}
	store, err := spool.Open(filepath.Join(l.dir, "spool"), &counting{}, quiet)
	if err != nil {
		return nil, err
	}
	rec, err := core.New(store, core.Config{Timeout: time.Minute})
	if err != nil {
		return nil, err
	}
	l.atEnd(func() error { return rec.Close(context.WithoutCancel(ctx)) })
	db, err := bbolt.Open(filepath.Join(l.dir, "peer.bbolt"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	l.atEnd(db.Close)
	file, err := os.Create(filepath.Join(l.dir, "peer.log"))
	if err != nil {
		return nil, err
	}
	l.atEnd(file.Close)

	bytesOf := func(n int) []byte {
		return core.Event{Tag: tag, User: user, Fields: fields(n)}.Normalize(0).AppendJSON(nil)
	}
	var mu sync.Mutex
	appending := func(_ context.Context, n int) error {
		line := append(bytesOf(n), '\n')
		mu.Lock()
		defer mu.Unlock()
		if _, err := file.Write(line); err != nil {
			return err
		}
		return file.Sync()
	}
	putting := func(write func(func(*bbolt.Tx) error) error) func(context.Context, int) error {
		return func(_ context.Context, n int) error {
			value := bytesOf(n)
			return write(func(tx *bbolt.Tx) error { return put(tx, value) })
		}
	}
	calling := func(callers int, name string, write func(ctx context.Context, n int) error) Side {
		return Side{Name: name, Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
			return drive(ctx, callers, d, write)
		}}
	}
	audit := func(ctx context.Context, n int) error { return rec.Audit(ctx, tag, fields(n), core.As(user)) }
	figures := []string{Rate, P50, P99}
	n := l.choose(4_000, 200_000, 1_000_000)
	return []Case{
		{Name: callersName(1), Figures: figures, Sides: []Side{
			calling(1, "auditing", audit), calling(1, appendName, appending), calling(1, boltName, putting(db.Update)),
		}},
		{Name: callersName(64), Figures: figures, Sides: []Side{
			calling(64, "auditing", audit), calling(64, appendName, appending), calling(64, boltsName, putting(db.Batch)),
		}},
		{Name: "drain of " + number(float64(n)) + " events", Figures: []string{Rate}, Sides: []Side{
			{Name: "auditing", Measure: func(ctx context.Context, _ time.Duration) (Sample, error) { return drainSpool(ctx, l, quiet, n) }},
			{Name: "a file of lines, read and removed", Measure: func(context.Context, time.Duration) (Sample, error) { return drainFile(l, n) }},
			{Name: "bbolt, read and deleted by the thousand", Measure: func(context.Context, time.Duration) (Sample, error) { return drainBolt(l, n) }},
		}},
	}, nil
}

var bucketName = []byte("events")

func put(tx *bbolt.Tx, value []byte) error {
	bucket, err := tx.CreateBucketIfNotExists(bucketName)
	if err != nil {
		return err
	}
	key, err := bucket.NextSequence()
	if err != nil {
		return err
	}
	return bucket.Put(binary.BigEndian.AppendUint64(nil, key), value)
}

func drainSpool(ctx context.Context, l *lab, cfg spool.Config, n int) (_ Sample, err error) {
	next := &counting{}
	store, err := spool.Open(filepath.Join(l.dir, "drained"), next, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close(ctx)) }()
	for _, batch := range newBatches(n) {
		if err := store.Save(ctx, batch); err != nil {
			return nil, err
		}
	}
	sample, err := timed(n, func() error {
		next.open.Store(true)
		return store.Flush(ctx)
	})
	if got := next.count.Load(); err == nil && got != int64(n) {
		err = missing("the drain passed on " + number(float64(got)) + " events")
	}
	return sample, err
}

// drainFile reads events from a file, each as a line, and removes it.
func drainFile(l *lab, n int) (Sample, error) {
	path := filepath.Join(l.dir, "drained.log")
	var lines []byte
	for _, batch := range newBatches(n) {
		for _, e := range batch {
			lines = append(e.AppendJSON(lines), '\n')
		}
	}
	if err := os.WriteFile(path, lines, 0o600); err != nil {
		return nil, err
	}
	return timed(n, func() error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		for r := bufio.NewReaderSize(file, 1<<16); ; {
			line, err := r.ReadSlice('\n')
			if errors.Is(err, io.EOF) {
				return os.Remove(path)
			}
			var e core.Event
			if err == nil {
				err = e.UnmarshalJSON(bytes.TrimSuffix(line, []byte("\n")))
			}
			if err != nil {
				return err
			}
		}
	})
}

// drainBolt reads events from a bucket and deletes them, some in each transaction.
func drainBolt(l *lab, n int) (_ Sample, err error) {
	path := filepath.Join(l.dir, "drained.bbolt")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close(), os.Remove(path)) }()
	for _, batch := range newBatches(n) {
		err := db.Update(func(tx *bbolt.Tx) error {
			for _, e := range batch {
				if err := put(tx, e.AppendJSON(nil)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return timed(n, func() error {
		for done := 0; done < n; done += batchSize {
			err := db.Update(func(tx *bbolt.Tx) error {
				cursor := tx.Bucket(bucketName).Cursor()
				key, value := cursor.First()
				for i := 0; i < batchSize && key != nil; i++ {
					var e core.Event
					if err := e.UnmarshalJSON(value); err != nil {
						return err
					}
					if err := cursor.Delete(); err != nil {
						return err
					}
					key, value = cursor.First()
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
