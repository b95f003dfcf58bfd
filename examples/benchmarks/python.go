package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed python/driver.py
var pythonDriver []byte

// python is an interpreter that has the Python library installed.
type python struct {
	path, driver string
	db           *database
}

// newPython installs the Python library into a virtual environment of its own, or says
// why it cannot.
func newPython(ctx context.Context, l *lab, db *database) (p python, why string) {
	if l.quick {
		return p, "not with -quick"
	}
	dir := filepath.Join(l.dir, "python")
	p = python{path: filepath.Join(dir, "bin", "python"), driver: filepath.Join(l.dir, "driver.py"), db: db}
	for _, args := range [][]string{
		{"python3", "-m", "venv", dir},
		// Of what it names it needs these for audits into PostgreSQL.
		{p.path, "-m", "pip", "install", "-q", "flask", "psycopg2-binary"},
		{p.path, "-m", "pip", "install", "-q", "--no-deps", "auditing==0.0.10"},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
			return p, fmt.Sprintf("not installed: %v %s", err, lines[len(lines)-1])
		}
	}
	if err := os.WriteFile(p.driver, pythonDriver, 0o600); err != nil {
		return p, err.Error()
	}
	// It knows neither id nor tag, so the table has to fill them in.
	err := db.like(ctx, "python_rows")
	if err == nil {
		err = db.exec(ctx, "ALTER TABLE python_rows ALTER audit_id SET DEFAULT gen_random_uuid(), ALTER audit_tag SET DEFAULT 'python_rows'")
	}
	if err != nil {
		return p, err.Error()
	}
	return p, ""
}

// side is audits from so many threads.
func (p python) side(name string, threads int, why string) Side {
	return Side{Name: name, Missing: why, Measure: func(ctx context.Context, d time.Duration) (s Sample, err error) {
		if err := p.db.exec(ctx, "TRUNCATE python_rows"); err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, p.path, p.driver, p.db.dsn, "python_rows", strconv.Itoa(threads), fmt.Sprint(d.Seconds()))
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, said.Bytes())
		}
		return s, json.Unmarshal(out, &s)
	}}
}
