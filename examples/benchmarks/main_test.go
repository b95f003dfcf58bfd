package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// noted is a side that notes its turn and sees the next of its values.
func noted(name string, turns *[]string, values ...float64) Side {
	return Side{Name: name, Measure: func(context.Context, time.Duration) (Sample, error) {
		*turns = append(*turns, name)
		v := values[0]
		values = values[1:]
		return Sample{Rate: v}, nil
	}}
}

func TestSidesTakeTurnsAndTheFirstRoundIsNotCounted(t *testing.T) {
	var turns []string
	c := Case{
		Name: "case", Figures: []string{Rate},
		Sides: []Side{
			noted("ours", &turns, 1e9, 10, 30, 20, 50, 40),
			noted("peer", &turns, 1e9, 10, 10, 10, 10, 10),
			{Name: "absent", Missing: "not here"},
			noted("limit", new([]string), 1e9, 20, 20, 20, 20, 20),
		},
		Wants: []Want{
			{Figure: Rate, Beside: "peer", AtLeast: 3}, {Figure: Rate, Beside: "peer", AtLeast: 3.5, LimitedBy: "limit"},
			{Figure: Rate, AtMost: 30}, {Figure: Rate, AtMost: 29}, {Figure: Rate, Beside: "absent", AtLeast: 0.1},
		},
	}
	r, err := c.measure(t.Context(), 5, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if want := "peer ours ours peer peer ours ours peer peer ours ours peer"; strings.Join(turns, " ") != want {
		t.Errorf("turns %v, want %s", turns, want)
	}
	if got, want := r.Sides[0].Seen[Rate], (Spread{Median: 30, Low: 10, High: 50}); got != want {
		t.Errorf("seen %v, want %v", got, want)
	}
	if got, want := r.Sides[1].Ratio, (Spread{Median: 3, Low: 1, High: 5}); got != want {
		t.Errorf("ratio %v, want %v", got, want)
	}
	var met []bool
	for _, w := range r.Wants {
		met = append(met, w.Met)
	}
	if want := []bool{true, false, true, false, false}; !slices.Equal(met, want) {
		t.Errorf("met %v, want %v", met, want)
	}
	if limit := r.Wants[1].Limit; limit == nil || *limit != (Spread{2, 2, 2}) {
		t.Errorf("limit %v, want 2", limit)
	}
	if r.Wants[4].Missing != "not here" {
		t.Errorf("%+v does not say why nothing was seen", r.Wants[4])
	}
}

func TestWhatCannotBeMeasured(t *testing.T) {
	ended := 0
	subject := func(err error) Subject {
		return Subject{"x", "X", func(_ context.Context, l *lab) ([]Case, error) {
			l.atEnd(func() error { ended++; return nil })
			return nil, err
		}}
	}
	r, err := subject(missing("no server")).measure(t.Context(), &lab{rounds: 5})
	if err != nil || r.Missing != "no server" || ended != 1 {
		t.Errorf("%+v, %v, %d ended; want the reason", r, err, ended)
	}
	if _, err := subject(errors.New("broken")).measure(t.Context(), &lab{rounds: 5}); err == nil || ended != 2 {
		t.Errorf("%v, %d ended; want the error", err, ended)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.95: "0.95", 1. / 6: "0.167", 4.444: "4.44", 999: "999", 999.9: "1,000", 35_940: "35,900", 1_234_567: "1,230,000", -2: "-2"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %s, want %s", v, got, want)
		}
	}
}

// results are some of all kinds.
func results() []SubjectResult {
	seen := map[string]Spread{Rate: {2, 1, 3}}
	return []SubjectResult{
		{Name: "postgres", Title: "A & B", Cases: []CaseResult{{
			Name: "64 callers", Figures: []string{Rate},
			Sides: []SideResult{
				{Name: "auditing", Seen: seen, Ratio: Spread{1, 1, 1}}, {Name: "<peer>", Seen: seen, Ratio: Spread{4, 3, 5}},
				{Name: "far", Seen: seen, Ratio: Spread{900, 3, 5}}, {Name: "near", Seen: seen, Ratio: Spread{0.5, 0.4, 0.6}},
				{Name: "limit", Aside: true, Seen: seen, Ratio: Spread{0.7, 0.6, 0.8}}, {Name: "python", Missing: "not installed"},
			},
			Wants: []WantResult{
				{Want: Want{Figure: Rate, Beside: "<peer>", AtLeast: 3}, Seen: Spread{4, 3, 5}, Met: true},
				{Want: Want{Figure: Rate, Beside: "near", AtLeast: 1, Reason: "the disk"}, Seen: Spread{0.5, 0.4, 0.6}, Limit: &Spread{0.7, 0.7, 0.7}},
			},
		}}},
		{Name: "elastic", Title: "Elasticsearch", Missing: "no JDK"},
	}
}

func TestTables(t *testing.T) {
	var text bytes.Buffer
	if err := writeText(&text, results()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A & B", "4 (3–5)", "not measured: not installed", "not measured: no JDK", "MISSED, the limit is 0.7: the disk"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &text)
		}
	}
	md := (&Report{Subjects: results()}).markdown()
	for _, want := range []string{
		"### A & B\n", "| **64 callers** | | |\n| auditing | 2 (1–3) | |\n| <peer> | 2 (1–3) | 4 (3–5) |\n",
		"| python | not measured: not installed | |\n", "Not measured: no JDK.",
		"| ≥ 3 | 4 (3–5) |  |", "| ≥ 1 | **0.5 (0.4–0.6)** (1) | 0.7 |", "\n1. the disk\n",
	} {
		if !strings.Contains(md, want) {
			t.Errorf("the Markdown lacks %q:\n%s", want, md)
		}
	}
}

// TestReadmesShowTheResults: the READMEs say what results.json does.
func TestReadmesShowTheResults(t *testing.T) {
	r, err := readReport("results.json", true)
	if err != nil {
		t.Fatal(err)
	}
	headlines, err := r.headlines()
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{repo + "/README.md": headlines, "README.md": r.markdown()} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "-readme -->\n"+want+"<!-- end -->") {
			t.Errorf("%s does not show results.json (%v): go run . -only none -readme", file, err)
		}
	}
	if _, err := (&Report{Subjects: results()}).headlines(); err == nil {
		t.Error("a report without what the headlines say: no error")
	}
}

func TestDrawing(t *testing.T) {
	svg := drawing(results())
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for text, want := range map[string]bool{"&lt;peer&gt;": true, "4×": true, "900×": true, "0.5×": true, "limit": false, "python": false, "Elasticsearch": false} {
		if got := bytes.Contains(svg, []byte(">"+text+"<")); got != want {
			t.Errorf("the picture shows %q: %v, want %v", text, got, want)
		}
	}
}

func TestReportKeepsOtherSubjects(t *testing.T) {
	dir := t.TempDir()
	var r Report
	r.put(SubjectResult{Name: "sqlite"})
	r.put(SubjectResult{Name: "postgres", Rounds: 5})
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	r, err := readReport(filepath.Join(dir, "results.json"), true)
	if err != nil {
		t.Fatal(err)
	}
	r.put(SubjectResult{Name: "postgres", Rounds: 7})
	if len(r.Subjects) != 2 || r.Subjects[0].Rounds != 7 || r.Subjects[1].Name != "sqlite" {
		t.Errorf("%+v, want the new postgres before the old sqlite", r.Subjects)
	}
	if r, err = readReport(filepath.Join(dir, "results.json"), false); err != nil || len(r.Subjects) != 0 {
		t.Errorf("%+v, %v; want nothing kept", r, err)
	}
}

func TestReplaceBlock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n<!-- begin: go run . -readme -->\nold\n<!-- end -->\nafter\n")
	if err := replaceBlock(file, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if want := "before\n<!-- begin: go run . -readme -->\nnew\n<!-- end -->\nafter\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	write("no marks")
	if err := replaceBlock(file, "new\n"); err == nil {
		t.Error("a file without marks: no error")
	}
}

func TestDriveCallsFromEveryCallerAndStopsAtAnError(t *testing.T) {
	s, err := drive(t.Context(), 4, 10*time.Millisecond, func(context.Context, int) error { return nil })
	if err != nil || s[Rate] <= 0 || s[P99] < s[P50] {
		t.Errorf("%v, %v", s, err)
	}
	broken := errors.New("broken")
	if _, err := drive(t.Context(), 4, time.Hour, func(_ context.Context, n int) error {
		if n == 10 {
			return broken
		}
		return nil
	}); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}
