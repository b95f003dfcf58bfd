package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// writeText prints all that was measured as a table for a terminal.
func writeText(out io.Writer, results []SubjectResult) error {
	for _, s := range results {
		fmt.Fprintf(out, "%s (%s)\n", strings.ToUpper(s.Title), s.Name)
		if s.Missing != "" {
			fmt.Fprintf(out, "  not measured: %s\n", s.Missing)
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for i, c := range s.Cases {
			if i == 0 || strings.Join(c.Figures, "\t") != strings.Join(s.Cases[i-1].Figures, "\t") {
				fmt.Fprintf(w, "  \t%s\tours / this\n", strings.Join(c.Figures, "\t"))
			}
			fmt.Fprintf(w, "  %s%s\n", c.Name, strings.Repeat("\t", len(c.Figures)+1))
			for at, side := range c.Sides {
				if side.Missing != "" {
					fmt.Fprintf(w, "    %s\tnot measured: %s\n", side.Name, side.Missing)
					continue
				}
				fmt.Fprintf(w, "    %s", side.Name)
				for _, figure := range c.Figures {
					shown := ""
					if seen, ok := side.Seen[figure]; ok {
						shown = seen.String()
					}
					fmt.Fprintf(w, "\t%s", shown)
				}
				if at == 0 {
					fmt.Fprint(w, "\t\n")
				} else {
					fmt.Fprintf(w, "\t%s\n", side.Ratio)
				}
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, c := range s.Cases {
			for _, want := range c.Wants {
				fmt.Fprintf(out, "  wanted: %s, %s: %s; seen: %s\n", c.Name, want.what(), want.bound(), want.seen())
			}
		}
		fmt.Fprintln(out)
	}
	return nil
}

// markdown is all that was measured, for this module's README.
func (r *Report) markdown() string {
	var b strings.Builder
	for _, s := range r.Subjects {
		fmt.Fprintf(&b, "### %s\n\n", s.Title)
		if s.Missing != "" {
			fmt.Fprintf(&b, "Not measured: %s.\n\n", s.Missing)
			continue
		}
		fmt.Fprintf(&b, "Measured on %s, %s.\n\n", s.Machine, s.Measured.Format(time.DateOnly))
		for i, c := range s.Cases {
			shown := c.shown()
			if i == 0 || !slices.Equal(shown, s.Cases[i-1].shown()) {
				b.WriteString(strings.Repeat("\n", min(i, 1)) + "| | " + strings.Join(shown, " | ") + " | auditing ÷ this |\n|---|" + strings.Repeat("---|", len(shown)+1) + "\n")
			}
			fmt.Fprintf(&b, "| **%s** |%s\n", c.Name, strings.Repeat(" |", len(shown)+1))
			for at, side := range c.Sides {
				fmt.Fprintf(&b, "| %s |", side.Name)
				if side.Missing != "" {
					fmt.Fprintf(&b, " not measured: %s |%s\n", side.Missing, strings.Repeat(" |", len(shown)))
					continue
				}
				for _, figure := range shown {
					if seen, ok := side.Seen[figure]; ok {
						b.WriteString(" " + seen.String())
					}
					b.WriteString(" |")
				}
				if at > 0 {
					b.WriteString(" " + side.Ratio.String())
				}
				b.WriteString(" |\n")
			}
		}
		b.WriteString("\n")
	}
	return b.String() + "### The goals\n\n" + goals(r.Subjects)
}

// shown are the figures of a line that mean something on another machine too: a time in
// nanoseconds does as a ratio only, where there is one.
func (c CaseResult) shown() []string {
	return slices.DeleteFunc(slices.Clone(c.Figures), func(figure string) bool {
		return figure == Nanos && len(c.Sides) > 1
	})
}

// goals shows what was wanted and what was seen.
func goals(results []SubjectResult) string {
	var b, notes strings.Builder
	b.WriteString("| | | Goal | Measured | The limit |\n|---|---|---|---|---|\n")
	noted := map[string]int{}
	for _, s := range results {
		title := s.Title
		for _, c := range s.Cases {
			for _, w := range c.Wants {
				seen := w.Seen.String()
				switch {
				case w.Missing != "":
					seen = "not measured: " + w.Missing
				case !w.Met:
					seen = "**" + seen + "**"
					if w.Reason != "" {
						if noted[w.Reason] == 0 {
							noted[w.Reason] = len(noted) + 1
							fmt.Fprintf(&notes, "\n%d. %s\n", noted[w.Reason], w.Reason)
						}
						seen += fmt.Sprintf(" (%d)", noted[w.Reason])
					}
				}
				limit := ""
				if w.Limit != nil {
					limit = w.Limit.String()
				}
				fmt.Fprintf(&b, "| %s | %s, %s | %s | %s | %s |\n", title, c.Name, w.what(), w.bound(), seen, limit)
				title = ""
			}
		}
	}
	return b.String() + notes.String()
}

// what names the figure and what it is a ratio to.
func (w WantResult) what() string {
	if w.Beside == "" {
		return w.Figure
	}
	return w.Figure + " / " + w.Beside
}

func (w WantResult) bound() string {
	if w.AtLeast > 0 {
		return "≥ " + number(w.AtLeast)
	}
	return "≤ " + number(w.AtMost)
}

func (w WantResult) seen() string {
	switch {
	case w.Missing != "":
		return "not measured: " + w.Missing
	case w.Met:
		return w.Seen.String()
	}
	text := w.Seen.String() + " MISSED"
	if w.Limit != nil {
		text += ", the limit is " + w.Limit.String()
	}
	if w.Reason != "" {
		text += ": " + w.Reason
	}
	return text
}

// String is the median, and in brackets the lowest and the highest unless they look
// the same.
func (s Spread) String() string {
	median, low, high := number(s.Median), number(s.Low), number(s.High)
	if low == high {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, low, high)
}

// number shows three digits that count, with commas between the thousands.
func number(v float64) string {
	if math.Abs(v) < 999.5 {
		return strconv.FormatFloat(round3(v), 'f', -1, 64)
	}
	digits := strconv.FormatFloat(round3(v), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func round3(v float64) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	return rounded
}
