package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

// Executor returns what runs statements in a transaction of GORM's or of database/sql. types
// are those that a store of the dialect takes.
func Executor(tx any, dialect, types string) (gorm.ConnPool, error) {
	switch tx := tx.(type) {
	case *sql.Tx:
		return tx, nil
	case *gorm.DB:
		if tx.Statement == nil || tx.Dialector == nil {
			break
		}
		if name := tx.Name(); name != dialect {
			return nil, fmt.Errorf("the *gorm.DB is of %s, not of %s", name, dialect)
		}
		pool := tx.Statement.ConnPool
		if p, ok := pool.(*gorm.PreparedStmtTX); ok {
			pool = p.Tx // statements of ours are not for its cache
		}
		if t, ok := pool.(*sql.Tx); ok && t == nil {
			return nil, fmt.Errorf("the transaction has not begun: %w", tx.Error)
		}
		if _, ok := pool.(gorm.TxCommitter); !ok {
			return nil, errors.New("the *gorm.DB is no transaction: pass the one that Begin or Transaction gave")
		}
		return pool, nil
	}
	return nil, fmt.Errorf("a %T is no transaction that this store can write in: pass %s: %w", tx, types, errors.ErrUnsupported)
}
