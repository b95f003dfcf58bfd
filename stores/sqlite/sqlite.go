// Package sqlite keeps audits in an SQLite database file, with an SQLite that is
// compiled in and needs no cgo. Importing it registers the driver "sqlite", with
// package stores and with database/sql.
//
// A program that has a driver "sqlite" of its own, such as that of
// github.com/glebarez/sqlite, imports package nodriver instead: database/sql panics
// when two drivers take the same name.
//
// See package gormstore for how a tag becomes a table and a field a column. Times
// are text in UTC that sorts by time.
package sqlite

import (
	"context"

	"gorm.io/gorm"
	_ "modernc.org/sqlite" // the driver "sqlite" of database/sql

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	"github.com/auditing-go/auditing/stores/gormstore"
	"github.com/auditing-go/auditing/stores/sqlite/nodriver"
)

func init() {
	stores.Register("sqlite", func(ctx context.Context, dsn string) (core.Store, error) {
		return Open(ctx, dsn, Config{})
	})
}

// Config sets up a store. Its zero value creates what is missing.
type Config = nodriver.Config

// Open opens the database file that dsn names, and creates it when it is missing,
// with the driver that this package brings. See [nodriver.Open].
func Open(ctx context.Context, dsn string, cfg Config) (*gormstore.Store, error) {
	return nodriver.Open(ctx, dsn, cfg)
}

// New returns a store on the application's own connection pool. See [nodriver.New].
func New(ctx context.Context, db *gorm.DB, cfg Config) (*gormstore.Store, error) {
	return nodriver.New(ctx, db, cfg)
}
