package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is what results.json holds.
type Report struct {
	Subjects []SubjectResult
}

// SubjectResult is what a [Subject] came to.
type SubjectResult struct {
	Name, Title string
	Machine     string
	Measured    time.Time
	Each        string // how long one measurement took
	Rounds      int
	Missing     string `json:",omitempty"`
	Cases       []CaseResult
}

// CaseResult is what a [Case] came to.
type CaseResult struct {
	Name    string
	Figures []string
	Sides   []SideResult
	Wants   []WantResult `json:",omitempty"`
}

// SideResult is what a [Side] came to.
type SideResult struct {
	Name    string
	Missing string            `json:",omitempty"`
	Aside   bool              `json:",omitempty"`
	Seen    map[string]Spread `json:",omitempty"`
	Ratio   Spread            // ours over this side's, of the first figure
}

// WantResult is what became of a [Want].
type WantResult struct {
	Want
	Seen    Spread
	Limit   *Spread `json:",omitempty"` // Seen, had the side LimitedBy been ours
	Met     bool
	Missing string `json:",omitempty"`
}

// Spread is the median of several measurements, the lowest and the highest.
type Spread struct{ Median, Low, High float64 }

// readReport returns the report in file; an empty one when there is none, or none is
// to be kept.
func readReport(file string, keep bool) (r Report, err error) {
	text, err := os.ReadFile(file)
	if !keep || errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// put takes the place of an older result of the same subject.
func (r *Report) put(s SubjectResult) {
	place := func(name string) int {
		return slices.IndexFunc(subjects, func(s Subject) bool { return s.Name == name })
	}
	r.Subjects = append(slices.DeleteFunc(r.Subjects, func(o SubjectResult) bool { return o.Name == s.Name }), s)
	slices.SortFunc(r.Subjects, func(a, b SubjectResult) int { return place(a.Name) - place(b.Name) })
}

func (r *Report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "results.json"), append(text, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "results.svg"), drawing(r.Subjects), 0o644))
}

// intoReadmes puts the whole table into this module's README and three lines of it into
// the library's.
func (r *Report) intoReadmes() error {
	headlines, err := r.headlines()
	return errors.Join(err, replaceBlock(repo+"/README.md", headlines), replaceBlock("README.md", r.markdown()))
}

// headlines are what the library's README says of speed: a comparison for each place
// where audits go, ahead or behind.
func (r *Report) headlines() (string, error) {
	var lacking []error
	times := func(subject, name, peer string) string {
		for _, s := range r.Subjects {
			for _, c := range s.Cases {
				for _, side := range c.Sides {
					if s.Name == subject && c.Name == name && side.Name == peer && side.Ratio.Median > 0 {
						return side.Ratio.String()
					}
				}
			}
		}
		lacking = append(lacking, fmt.Errorf("results.json has no %s, %s, %s", subject, name, peer))
		return ""
	}
	text := "* On PostgreSQL 64 callers store " + times("postgres", callersName(64), pgxName) + " times as many durable audits a second as with pgx and one row a transaction, and " +
		times("postgres", callersName(64), gormName) + " times as many as with GORM; a lone caller " + times("postgres", callersName(1), pgxName) + " of pgx.\n" +
		"* On SQLite 64 callers store " + times("sqlite", callersName(64), insertName) + " times as many as with a prepared insert a transaction, a lone caller " +
		times("sqlite", callersName(1), insertName) + ".\n" +
		"* One audit of 8 fields keeps its caller " + times("cost", eightName, zapName) + " times as long as a line of JSON with zap, apart from the wait for the store, and " +
		times("cost", eightName, eventloggerName) + " of one with hashicorp/eventlogger.\n"
	return text, errors.Join(lacking...)
}

// replaceBlock replaces what stands between the two marks in a Markdown file.
func replaceBlock(file, text string) error {
	const begin, end = "<!-- begin: go run . -readme -->\n", "<!-- end -->"
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644)
}

// machine describes where the figures come from.
func machine() string {
	what := fmt.Sprintf("%d cores", runtime.NumCPU())
	info, _ := os.ReadFile("/proc/cpuinfo") // Linux only
	for line := range strings.Lines(string(info)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			what += " of " + strings.TrimSpace(model)
			break
		}
	}
	return fmt.Sprintf("%s, %s/%s, %s", what, runtime.GOOS, runtime.GOARCH, runtime.Version())
}
