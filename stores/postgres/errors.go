package postgres

import (
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// notSent wraps an error before which nothing can have been written.
type notSent struct{ error }

func (e notSent) Unwrap() error     { return e.error }
func (e notSent) SafeToRetry() bool { return true }

// notConnected wraps the error of a connection that could not be made.
type notConnected struct{ error }

func (e notConnected) Unwrap() error     { return e.error }
func (e notConnected) SafeToRetry() bool { return true }

// errForeignDriver is returned for a pool that is not of pgx.
var errForeignDriver = errors.New("the pool's driver is not pgx itself, but perhaps one that traces it: leave it as it is and give the audits a pool of their own with postgres.Open")

// isUnknown reports whether what err interrupted may have happened all the same.
func isUnknown(err error) bool {
	if err == nil {
		return false
	}
	var sent interface{ SafeToRetry() bool }
	if errors.As(err, &sent) && sent.SafeToRetry() {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		// Any other answer of the server says that it has rolled back.
		return pgErr.Severity == "FATAL" || pgErr.Severity == "PANIC"
	}
	return true
}

// isConnection reports whether err is of the connection, so that a new one may help.
func isConnection(err error) bool {
	if errors.As(err, new(notConnected)) {
		return true
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return strings.HasPrefix(pgErr.Code, "08") || strings.HasPrefix(pgErr.Code, "57P")
	}
	return true
}

// reasonOf sorts the server's errors by what can be done about them. A value that is
// not of its column's type may be the fault of a catalogue that was not looked up since.
func reasonOf(err error, looked bool) gormstore.Reason {
	var pgErr *pgconn.PgError
	switch {
	case errors.Is(err, errForeignDriver):
		return gormstore.Refused
	case errors.As(err, new(notConnected)), !errors.As(err, &pgErr):
		return gormstore.Unavailable
	case slices.Contains(staleStates, pgErr.Code), strings.HasPrefix(pgErr.Code, "22") && !looked:
		return gormstore.Stale
	case slices.Contains(passingStates, pgErr.Code), slices.Contains(passingClasses, pgErr.Code[:2]):
		return gormstore.Unavailable
	}
	return gormstore.Refused
}

// Reason implements [gormstore.Backend]. The server's own words can hold values.
func (b *backend) Reason(err error) string {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err.Error()
	}
	reason := "SQLSTATE " + pgErr.Code
	for _, of := range []struct{ what, name string }{{"constraint", pgErr.ConstraintName}, {"column", pgErr.ColumnName}} {
		if of.name != "" {
			reason += " of " + of.what + " " + of.name
		}
	}
	return reason
}

var (
	// A table or column is missing or of another type than the catalogue says.
	staleStates = []string{"42P01", "42703", "42804", "42P10", "42P18", "42883", "42846", "0A000"}
	// Connection, resources, shutdown, concurrency, and a server that is read-only for now.
	passingClasses = []string{"08", "53", "57", "58", "40", "XX"}
	passingStates  = []string{"55P03", "55006", "25006"}
)
