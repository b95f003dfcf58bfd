package main

import (
	"bytes"
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
	Machine  string
	Subjects []SubjectResult
}

// SubjectResult is what a [Subject] came to.
type SubjectResult struct {
	Name, Title string
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

// intoReadmes puts the whole table into this module's README and what was wanted of
// it into the library's.
func (r *Report) intoReadmes() error {
	var whole bytes.Buffer
	whole.WriteString(r.when() + "\n\n```text\n")
	if err := writeText(&whole, r.Subjects); err != nil {
		return err
	}
	whole.WriteString("```\n")
	return errors.Join(replaceBlock("README.md", whole.String()),
		replaceBlock(repo+"/README.md", r.when()+"\n\n"+markdown(r.Subjects)))
}

// when says where and when the report was measured.
func (r *Report) when() string {
	var first, last time.Time
	for _, s := range r.Subjects {
		if first.IsZero() || s.Measured.Before(first) {
			first = s.Measured
		}
		if s.Measured.After(last) {
			last = s.Measured
		}
	}
	day := last.Format(time.DateOnly)
	if f := first.Format(time.DateOnly); f != day {
		day = f + " to " + day
	}
	return "Measured on " + r.Machine + ", " + day + "."
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
