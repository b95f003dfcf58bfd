package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// notSent wraps an error before which nothing was written: there is no connection, say.
type notSent struct{ error }

func (e notSent) Unwrap() error     { return e.error }
func (e notSent) SafeToRetry() bool { return true }

// errForeignDriver is returned for a pool that is not of pgx.
var errForeignDriver = errors.New("the pool's driver is not pgx itself, but perhaps one that traces it: leave it as it is and give the audits a pool of their own with postgres.Open")

// errKeptOut is why a row is not there although the server took it.
var errKeptOut = errors.New("the server took the row and did not store it: a trigger or a rule of the table kept it out")

func notConnected(err error) error { return fmt.Errorf("auditing: connecting to PostgreSQL: %w", err) }

// sqlState returns the server's error code, "" for an error that is not the server's.
func sqlState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

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
	if errors.As(err, new(notSent)) {
		return true
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return strings.HasPrefix(pgErr.Code, "08") || strings.HasPrefix(pgErr.Code, "57P")
	}
	return true
}

// isSession reports whether err can be of the session alone: it is read-only (25006), as
// one that began before its server or its role was made writable, or of a role that may
// no longer do what new sessions may (42501, 28000), or that is gone (42704).
func isSession(err error) bool {
	switch sqlState(err) {
	case "25006", "42501", "42704", "28000", "28P01":
		return true
	}
	return false
}

// isLock reports whether err says that somebody holds a lock for too long.
func isLock(err error) bool { return sqlState(err) == "55P03" }

// reasonOf sorts the server's errors by what can be done about them. A value that is
// not of its column's type may be the fault of a catalogue that was not looked up since.
func reasonOf(err error, looked bool) sqlstore.Reason {
	var pgErr *pgconn.PgError
	if errors.As(err, new(notSent)) || !errors.As(err, &pgErr) || pgErr.Severity == "FATAL" || pgErr.Severity == "PANIC" {
		return sqlstore.Unavailable
	}
	switch {
	case isOf(pgErr, staleStates), strings.HasPrefix(pgErr.Code, "22") && !looked:
		return sqlstore.Stale
	case isOf(pgErr, refusedStates):
		return sqlstore.Refused
	case isOf(pgErr, passingStates):
		return sqlstore.Unavailable
	}
	return sqlstore.Denied
}

func isOf(err *pgconn.PgError, states []string) bool {
	return slices.ContainsFunc(states, func(begins string) bool { return strings.HasPrefix(err.Code, begins) })
}

// Codes, or the classes with which they begin. What is none of them is of the table:
// rights (42501), a view that takes no rows (55000), a code of somebody's own trigger.
var (
	// A table or column is missing or of another type than the catalogue says.
	staleStates = []string{"42P01", "42703", "42804", "42P10", "42P18", "42883", "42846", "428C9", "0A000"}
	// The event's own content: values, constraints, triggers and procedures that say
	// no, a check option of a view, a row too large for an index, JSON nested too deep.
	refusedStates = []string{"22", "23", "09", "21", "27", "2F", "38", "39", "44", "P0", "54000", "54001"}
	// Connection and who may have one, transactions (a server that is read-only is
	// 25006), statements that a proxy lost, a database or schema that is away,
	// concurrency, resources, limits, locks, shutdown, the system, and bugs.
	passingStates = []string{"08", "0B", "0L", "0P", "25", "26", "28", "2D", "34", "3B", "3D", "3F", "40", "426", "42P05", "53", "54", "55006", "55P03", "57", "58", "F0", "XX"}
)

// Reason implements [sqlstore.Backend]. The server's own words are shown where they
// are of names only: those about data, and of somebody's function, can hold values.
func (b *backend) Reason(err error) string {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err.Error()
	}
	reason := "SQLSTATE " + pgErr.Code
	if pgErr.Where == "" && !isOf(pgErr, refusedStates) {
		reason = fmt.Sprintf("%s (%s)", pgErr.Message, reason)
	}
	for _, of := range []struct{ what, name string }{{"constraint", pgErr.ConstraintName}, {"column", pgErr.ColumnName}} {
		if of.name != "" {
			reason += " of " + of.what + " " + of.name
		}
	}
	return reason
}
