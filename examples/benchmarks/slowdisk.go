package main

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed slowdisk/fsync.c
var slowFsync []byte

func slowDiskCases(ctx context.Context, l *lab) ([]Case, error) {
	library, err := l.slowFsync(ctx)
	if err != nil {
		return nil, err
	}
	db, err := l.postgres(ctx, "LD_PRELOAD="+library)
	if err != nil {
		return nil, err
	}
	w, err := db.writers(ctx, l)
	if err != nil {
		return nil, err
	}
	var cases []Case
	for _, want := range []struct {
		callers int
		ratio   float64
	}{{64, 4}, {256, 10}} {
		callers := want.callers
		limit, err := db.limit(ctx, joinedName, callers, callers)
		if err != nil {
			return nil, err
		}
		c := db.callersCase(callers, db.calling(pgxName, "pgx_rows", callers, w.pgx), db.calling(gormName, "gorm_rows", callers, w.gorm), limit)
		c.Wants = []Want{{Figure: Rate, Beside: pgxName, AtLeast: want.ratio, LimitedBy: joinedName, Reason: reasonSlowDisk}}
		cases = append(cases, c)
	}
	return cases, nil
}

const joinedName = "limit: ready rows, all in one write"

const reasonSlowDisk = "The callers fall into two groups, each of which waits for the other's write and then for its own, as the median shows: it is two writes long. The limit is one write of all callers at a time, with nobody to tell."

// slowFsync compiles a library to preload, with which fsync takes 2 ms more.
func (l *lab) slowFsync(ctx context.Context) (string, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", missing("no C compiler for the fsync that sleeps: install gcc")
	}
	source, library := filepath.Join(l.dir, "fsync.c"), filepath.Join(l.dir, "fsync.so")
	// The server runs as somebody else and has to read it.
	if err := os.WriteFile(source, slowFsync, 0o644); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, cc, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		return "", missing("the fsync that sleeps does not compile here: " + string(out))
	}
	return library, os.Chmod(library, 0o755)
}
