package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// buildCases build the small servers under hello with the compiled packages of the
// plain one in the cache and nothing else.
func buildCases(ctx context.Context, l *lab) ([]Case, error) {
	if !l.long {
		return nil, missing("only with -long")
	}
	b := builder{dir: l.dir, base: filepath.Join(l.dir, "cache")}
	start := time.Now()
	if err := b.build(ctx, "gin", b.base); err != nil {
		return nil, err
	}
	cold := time.Since(start)
	size, err := b.size("gin")
	if err != nil {
		return nil, err
	}
	b.hello = size
	return []Case{{
		Name:    fmt.Sprintf("the server itself: %s s from nothing, %s MB", number(cold.Seconds()), number(size)),
		Figures: []string{Seconds, MB},
		Sides: []Side{
			b.adding("auditing, PostgreSQL", "postgres", false), b.adding("auditing, SQLite", "sqlite", true),
			b.adding("auditing, Elasticsearch", "elasticsearch", true), b.adding("auditing, spool and PostgreSQL", "spool", true),
			b.adding("GORM and its PostgreSQL driver alone", "gorm", false),
		},
	}}, nil
}

type builder struct {
	dir, base string
	hello     float64 // the size of the plain server
}

// build builds one of the servers.
func (b builder) build(ctx context.Context, name, cache string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(b.dir, "hello-"+name), "./hello/"+name)
	cmd.Env = append(os.Environ(), "GOCACHE="+cache)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building hello/%s: %w: %s", name, err, out)
	}
	return nil
}

// size is that of a server that was built, in MB.
func (b builder) size(name string) (float64, error) {
	info, err := os.Stat(filepath.Join(b.dir, "hello-"+name))
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / 1e6, nil
}

// adding is what more in the server costs.
func (b builder) adding(name, server string, aside bool) Side {
	return Side{Name: name, Aside: aside, Measure: func(ctx context.Context, _ time.Duration) (Sample, error) {
		cache := filepath.Join(b.dir, "cache-"+server)
		if err := os.CopyFS(cache, os.DirFS(b.base)); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := b.build(ctx, server, cache); err != nil {
			return nil, err
		}
		took := time.Since(start)
		size, err := b.size(server)
		if err != nil {
			return nil, err
		}
		return Sample{Seconds: took.Seconds(), MB: size - b.hello}, os.RemoveAll(cache)
	}}
}
