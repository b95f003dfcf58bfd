package postgres

import (
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// TestReasons: only what an event's own content causes is refused; what is of one table
// is tried in the overflow table; all else is waited out.
func TestReasons(t *testing.T) {
	for why, codes := range map[sqlstore.Reason][]string{
		sqlstore.Refused:     {"22001", "22P05", "23502", "23505", "23514", "23P01", "21000", "27000", "38000", "39P01", "44000", "P0001", "54000", "54001"},
		sqlstore.Stale:       {"42P01", "42703", "42804", "428C9", "0A000"},
		sqlstore.Denied:      {"42501", "42809", "55000", "45000", "ZX001"},
		sqlstore.Unavailable: {"08006", "08P01", "0LP01", "0P000", "25001", "25006", "25P02", "26000", "28P01", "34000", "3D000", "3F000", "40001", "40P01", "42601", "42P05", "53100", "53200", "53300", "53400", "54011", "55006", "55P03", "57014", "57P01", "58030", "F0000", "XX000", "XX001"},
	} {
		for _, code := range codes {
			err := fmt.Errorf("writing: %w", &pgconn.PgError{Severity: "ERROR", Code: code})
			if got := reasonOf(err, true); got != why {
				t.Errorf("%s is sorted as %d, want %d", code, got, why)
			}
		}
	}
	for name, err := range map[string]error{
		"a proxy that throws out": &pgconn.PgError{Severity: "FATAL", Code: "42501"},
		"no connection":           notSent{&pgconn.PgError{Severity: "FATAL", Code: "23505"}},
		"a lost connection":       io.ErrUnexpectedEOF,
	} {
		if got := reasonOf(err, true); got != sqlstore.Unavailable {
			t.Errorf("%s is sorted as %d, want an outage", name, got)
		}
	}
	if got := reasonOf(&pgconn.PgError{Severity: "ERROR", Code: "22P02"}, false); got != sqlstore.Stale {
		t.Errorf("a value of the wrong type before the catalogue was looked up is sorted as %d", got)
	}
}

// TestReasonsShowNoValues: the server's words are given where they can hold names only.
func TestReasonsShowNoValues(t *testing.T) {
	for want, err := range map[string]*pgconn.PgError{
		"permission denied for table ev (SQLSTATE 42501)": {Code: "42501", Message: "permission denied for table ev"},
		"SQLSTATE 42501":                                 {Code: "42501", Message: "not for secret", Where: "PL/pgSQL function no() line 1 at RAISE"},
		"SQLSTATE 22P02":                                 {Code: "22P02", Message: `invalid input: "secret"`},
		"SQLSTATE 23502 of column must":                  {Code: "23502", Message: "null value", ColumnName: "must"},
		`cannot insert into column "n" (SQLSTATE 428C9)`: {Code: "428C9", Message: `cannot insert into column "n"`},
		"SQLSTATE P0001":                                 {Code: "P0001", Message: "secret"},
	} {
		if got := (&backend{}).Reason(err); got != want {
			t.Errorf("the reason is %q, want %q", got, want)
		}
	}
}
