package nodriver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// The texts of SQLite's errors, which all its drivers share.
var (
	// A table or column is not what the catalogue says. What follows is a name.
	staleTexts = []string{"no such table", "no such column", "has no column named", "ON CONFLICT clause does not match"}
	// The database as a whole cannot be written just now.
	outageTexts = []string{
		"is locked", "locking protocol", "database or disk is full", "disk I/O error", "readonly database", "unable to open database",
		"out of memory", "interrupted", "malformed", "not a database", "permission denied", "authoriz", "is closed",
	}
	// The row breaks a rule of the table. What follows is the rule, without values.
	ruleTexts = []string{
		"CHECK constraint failed", "NOT NULL constraint failed", "UNIQUE constraint failed", "FOREIGN KEY constraint failed",
		"cannot store", "datatype mismatch", "too big", "no such function", "cannot INSERT into generated column",
	}
)

// lockedTexts say that somebody else is at it, so that the connection is fine.
var lockedTexts = []string{"is locked", "interrupted"}

// errLeftOut is why a row is not there though its INSERT succeeded.
var errLeftOut = errors.New("a trigger of the table leaves the row out")

// isOutage reports whether err is of the database and not of one table or row.
func isOutage(err error) bool {
	if err == nil {
		return false
	}
	for _, end := range []error{context.Canceled, context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone, core.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	return textOf(err, outageTexts) != ""
}

// reasonOf is why a table did not take a row. A trigger may raise any text.
func reasonOf(err error) sqlstore.Reason {
	switch {
	case isOutage(err):
		return sqlstore.Unavailable
	case textOf(err, staleTexts) != "":
		return sqlstore.Stale
	}
	return sqlstore.Refused
}

// WhyUnread implements [sqlstore.Backend]. What is wrong with a file is so for all
// tables, but only parts of it may be damaged.
func (b *backend) WhyUnread(err error) sqlstore.Reason {
	if textOf(err, []string{"malformed"}) != "" {
		return sqlstore.Refused
	}
	return reasonOf(err)
}

// Reason implements [sqlstore.Backend]. Only the text that a trigger raises can hold
// values, and is not shown.
func (b *backend) Reason(err error) string {
	for _, texts := range [][]string{ruleTexts, staleTexts} {
		if text := textOf(err, texts); text != "" {
			return text
		}
	}
	if errors.Is(err, errLeftOut) {
		return errLeftOut.Error()
	}
	return "a trigger of the table raises an error"
}

// textOf returns err's text from where one of texts begins, "" when it holds none.
func textOf(err error, texts []string) string {
	all := err.Error()
	for _, s := range texts {
		if at := strings.Index(all, s); at >= 0 {
			return all[at:]
		}
	}
	return ""
}
