// Command audit looks at an audit trail from a terminal or a script:
//
//	export AUDITING_STORE=postgres AUDITING_DSN="host=127.0.0.1 user=auditor dbname=mydb"
//	go run github.com/auditing-go/auditing/stores/cmd/audit search -resource order/42
//
// Its subcommands are
//
//	search   print the newest events that match
//	export   write all events that match into a file, with a manifest
//	tail     follow the trail, as JSON lines for a log shipper
//	ddl      print the statements that make tables
//	refile   move what was stored where there was room to where it belongs
//	check    say what this role may do and what makes the trail weaker than it should be
//
// and each explains its flags with -h. The store is named as in package stores, by -store and
// -dsn or, so that no password is seen among the processes, by AUDITING_STORE and
// AUDITING_DSN. The command makes no database, and only refile makes tables: for all else
// postgres_auto is opened as postgres. A file of SQLite has to be there.
//
// Reading is audited, as audit.read, before anything is shown and when it ends: who, with
// which query, and what was found. Its own reads are not in what it shows. Where that
// cannot be stored, as under a role that may only read, nothing is shown unless -unaudited
// says so, which a manifest repeats.
//
// It exits with 0, with 1 when something failed or check has found something, or with 2 when
// it was called wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// subcommand is one of them. run is given what its flags leave.
type subcommand struct {
	name, short string
	flags       func(*flag.FlagSet, *app) (run func(ctx context.Context) error)
}

var subcommands = []subcommand{
	{"search", "print the newest events that match", search},
	{"export", "write all events that match into a file, with a manifest", exportFile},
	{"tail", "follow the trail, as JSON lines for a log shipper", tail},
	{"ddl", "print the statements that make tables", ddl},
	{"refile", "move what was stored where there was room to where it belongs", refile},
	{"check", "say what this role may do and what makes the trail weaker than it should be", check},
}

// app is what the subcommands have in common.
type app struct {
	stdout, stderr io.Writer
	driver, dsn    string
	by             string
	unaudited      bool
}

// errUsage means that the command was called wrongly. Why was printed already.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A reader that leaves early, such as head, is an error of the write: the end is still audited.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, &app{stdout: os.Stdout, stderr: os.Stderr}, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil && !errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, a *app, args []string) error {
	if len(args) > 0 {
		for _, s := range subcommands {
			if s.name == args[0] {
				return a.call(ctx, s, args[1:])
			}
		}
	}
	fmt.Fprintln(a.stderr, "usage: audit SUBCOMMAND [flags]")
	for _, s := range subcommands {
		fmt.Fprintf(a.stderr, "  %-8s %s\n", s.name, s.short)
	}
	if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help") {
		return flag.ErrHelp
	}
	return errUsage
}

func (a *app) call(ctx context.Context, s subcommand, args []string) error {
	set := flag.NewFlagSet("audit "+s.name, flag.ContinueOnError)
	set.SetOutput(a.stderr)
	set.StringVar(&a.driver, "store", os.Getenv("AUDITING_STORE"), "the `driver` of the store, by default AUDITING_STORE")
	set.StringVar(&a.dsn, "dsn", "", "the store's `DSN`, by default AUDITING_DSN, which is not seen among the processes")
	run := s.flags(set, a)
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if a.dsn == "" {
		a.dsn = os.Getenv("AUDITING_DSN")
	}
	switch {
	case set.NArg() > 0:
		return a.usage("there are only flags, but %q follows", set.Arg(0))
	case a.driver == "":
		return a.usage("name the store: -store postgres -dsn ..., or AUDITING_STORE and AUDITING_DSN")
	}
	return run(ctx)
}

// usage says how the command was called wrongly.
func (a *app) usage(format string, args ...any) error {
	fmt.Fprintf(a.stderr, "audit: "+format+"\n", args...)
	return errUsage
}
