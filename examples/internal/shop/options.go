package shop

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/auditing-go/auditing/stores"
)

// Options are what the flags of an example say.
type Options struct {
	// Addr is the address to listen on.
	Addr string
	// Store and DSN are for stores.Open.
	Store, DSN string
}

// ParseOptions reads the flags of the named program, which keeps its audits in SQLite
// unless they say otherwise, and says on stdout where the audits go.
func ParseOptions(program string, args []string, stdout io.Writer) (Options, error) {
	return Options{Store: "sqlite"}.Parse(program, args, stdout)
}

// Parse is ParseOptions with o's Store and DSN where the flags name none.
func (o Options) Parse(program string, args []string, stdout io.Writer) (Options, error) {
	flags := flag.NewFlagSet(program, flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.StringVar(&o.Addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 is any free one")
	flags.StringVar(&o.Store, "store", o.Store, "`driver` of the store: "+strings.Join(stores.Drivers(), ", "))
	where := "where the store keeps the audits"
	if o.DSN == "" {
		where += ", such as audits.db or\n" +
			`"host=127.0.0.1 user=postgres dbname=mydb"; without it sqlite takes a file in your cache folder`
	}
	flags.StringVar(&o.DSN, "dsn", o.DSN, where)
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if flags.NArg() > 0 {
		return Options{}, fmt.Errorf("%s: unexpected %q: all settings are flags, see %[1]s -h", program, flags.Arg(0))
	}
	// A DSN that was given may hold a password.
	kept := "in the store " + o.Store
	if o.Store == "sqlite" && o.DSN == "" {
		file, err := defaultFile(program)
		if err != nil {
			return Options{}, fmt.Errorf("%s: no place for the audits: %w: name a file with -dsn", program, err)
		}
		o.DSN, kept = file, "in "+file
	}
	fmt.Fprintln(stdout, "Audits are kept", kept)
	return o, nil
}

// defaultFile is where audits outlive the program without littering the folder
// that it was started from.
func defaultFile(program string) (string, error) {
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "auditing-examples")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		if dir, err = os.MkdirTemp("", "auditing-examples-"); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, program+".db"), nil
}
