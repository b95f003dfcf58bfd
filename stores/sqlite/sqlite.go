// Package sqlite keeps audits in an SQLite database file, with an SQLite that is
// compiled in and needs no cgo. Importing it registers the driver "sqlite", with
// package stores and with database/sql.
//
// A program that has a driver "sqlite" of its own, such as that of
// github.com/glebarez/sqlite, imports package nodriver instead: database/sql panics
// when two drivers take the same name.
//
// # Tables
//
// A table is named after its tag, user_login for the tag user.login, and holds the columns
// username, datetime, ip, host and path, one column for every field, and audit_id (the
// primary key), audit_tag, audit_request and audit_extra. A field's column is typed after
// its first value. What does not fit is stored all the same: a value in the column
// audit_extra, an event in the table audit_overflow.
//
// What others do to a table is noticed at once when the database then refuses a write,
// and within a minute otherwise: a column that was given another type meanwhile may take
// values as its new type has them, a number as text or with fewer digits.
//
// Times are text in UTC that sorts by time.
//
// # Transactions
//
// With the option [In] or [InSQL] an audit is written in a transaction of the application's on
// the same file, and is there if and only if that commits:
//
//	err := db.Transaction(func(tx *gorm.DB) error {
//		if err := tx.Model(&order).Update("state", "refunded").Error; err != nil {
//			return err
//		}
//		return rec.Audit(ctx, "refund", core.Fields{"order": order.ID}, sqlite.In(tx))
//	})
//
// It waits for no other writer than the transaction itself does, and nothing is created in it.
// How durable it is the application's own setting of synchronous decides.
package sqlite

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
	_ "modernc.org/sqlite" // the driver "sqlite" of database/sql

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/sqlite/nodriver"
)

func init() {
	stores.Register("sqlite", func(ctx context.Context, dsn string) (core.Store, error) {
		return Open(ctx, dsn, Config{})
	})
}

// Config sets up a store. Its zero value creates what is missing.
type Config = nodriver.Config

// Store keeps audits in an SQLite database file. It is safe for concurrent use.
type Store = nodriver.Store

// Open opens the database file that dsn names, and creates it when it is missing,
// with the driver that this package brings. See [nodriver.Open]. The store has no GORM
// handle; [New] takes one.
func Open(ctx context.Context, dsn string, cfg Config) (*Store, error) {
	return nodriver.Open(ctx, dsn, cfg)
}

// New returns a store on the application's own connection pool. See [nodriver.New].
func New(ctx context.Context, db *gorm.DB, cfg Config) (*Store, error) {
	return nodriver.New(ctx, db, cfg)
}

// In makes an audit in tx, a transaction of GORM's on the file of the store. See [nodriver.In].
func In(tx *gorm.DB) core.Option { return nodriver.In(tx) }

// InSQL is [In] for a transaction of database/sql.
func InSQL(tx *sql.Tx) core.Option { return nodriver.InSQL(tx) }
