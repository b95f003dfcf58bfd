package shop

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Options are what the flags of an example say.
type Options struct {
	// Addr is the address to listen on.
	Addr string
	// Store and DSN are for stores.Open.
	Store, DSN string
}

// ParseOptions reads the flags of the named program, and says on stdout where the
// audits go.
func ParseOptions(program string, args []string, stdout io.Writer) (Options, error) {
	var o Options
	flags := flag.NewFlagSet(program, flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.StringVar(&o.Addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 is any free one")
	flags.StringVar(&o.Store, "store", "sqlite", "`driver` of the store: sqlite, postgres_auto, postgres or console")
	flags.StringVar(&o.DSN, "dsn", "", "where the store keeps the audits, such as audits.db or\n"+
		`"host=127.0.0.1 user=postgres dbname=mydb"; without it sqlite takes a file in your cache folder`)
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
