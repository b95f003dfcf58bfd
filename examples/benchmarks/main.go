// Command benchmarks measures audits beside what a program would use instead, on the
// same machine in the same run:
//
//	go run .                       everything, about half an hour
//	go run . -only postgres,drain  some subjects; what is known of the others stays
//	go run . -quick                everything cheap for a moment, to see that it works
//
// It has to run in its own folder. It prints a table and writes it as results.json
// and results.svg. Every figure is the median of at least five measurements, for which
// the sides of a line take turns, with the lowest and the highest in brackets. Audits
// are made through the library's public API alone; every peer writes into a table with
// the columns and the indexes of the one that the library made.
//
// The servers are started by .ci/postgres and .ci/elastic, unless
// AUDITING_POSTGRES_DSN and AUDITING_ELASTICSEARCH_URL name some. What cannot be
// measured on a machine is named in the table with the reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// subjects are the parts of the table, in its order.
var subjects = []Subject{
	{"postgres", "Durable audits on PostgreSQL", postgresCases},
	{"slowdisk", "The same on a disk whose fsync takes 2 ms more", slowDiskCases},
	{"drain", "Drain into PostgreSQL, 1,000 events a batch", drainCases},
	{"sqlite", "SQLite, synced at every commit", sqliteCases},
	{"spool", "The spool, while the store behind it is away", spoolCases},
	{"elastic", "Elasticsearch", elasticCases},
	{"cost", "What one audit costs its caller", costCases},
	{"request", "What a request costs over the bare handler", requestCases},
	{"growth", "Growth, on PostgreSQL", growthCases},
	{"memory", "Memory", memoryCases},
	{"build", "Added to a hello-world gin server", buildCases},
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == childCommand {
		runChild(os.Args[2], os.Args[3])
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	l := &lab{}
	flag.DurationVar(&l.time, "time", time.Second, "how long one measurement of one side takes")
	flag.IntVar(&l.rounds, "rounds", 5, "how often every side is measured, at least 5")
	flag.BoolVar(&l.quick, "quick", false, "measure everything cheap for a moment, to see that it works")
	flag.BoolVar(&l.long, "long", false, "also 10,000,000 rows, drains of 1,000,000 events, and cold builds")
	only := flag.String("only", "", "the subjects to measure, separated by commas: "+names(subjects)+"; or none")
	out := flag.String("o", ".", "the folder for results.json and results.svg")
	readme := flag.Bool("readme", false, "also put the table into README.md, and what it comes to into the library's")
	flag.Parse()
	if l.rounds < 5 {
		return errors.New("-rounds is at least 5")
	}
	if l.quick {
		l.time = min(l.time, 30*time.Millisecond)
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if _, err := os.Stat(repo + "/.ci/postgres"); err != nil {
		return errors.New("run it in its own folder, examples/benchmarks")
	}
	if err := l.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end(0)) }()

	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	report, err := readReport(filepath.Join(*out, "results.json"), *only != "")
	if err != nil {
		return err
	}
	for _, s := range chosen {
		fmt.Fprintf(os.Stderr, "measuring %s\n", s.Name)
		r, err := s.measure(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		report.put(r)
		if err := writeText(os.Stdout, []SubjectResult{r}); err != nil {
			return err
		}
	}
	if err := report.write(*out); err != nil || !*readme {
		return err
	}
	return report.intoReadmes()
}

// choose returns the subjects that are named, all without a name.
func choose(only string) ([]Subject, error) {
	switch only {
	case "":
		return subjects, nil
	case "none":
		return nil, nil
	}
	var chosen []Subject
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(subjects, func(s Subject) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: there are %s", name, names(subjects))
		}
		chosen = append(chosen, subjects[i])
	}
	return chosen, nil
}

func names(all []Subject) string {
	list := make([]string, len(all))
	for i, s := range all {
		list[i] = s.Name
	}
	return strings.Join(list, ",")
}
