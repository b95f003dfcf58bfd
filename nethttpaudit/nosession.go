package nethttpaudit

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// isNobody tells a visitor without a valid session from a store that failed. err
// came with session from the store.
func isNobody(err error, session *sessions.Session) bool {
	var cookie securecookie.Error
	if errors.As(err, &cookie) {
		return isBadCookie(cookie, session)
	}
	if _, files := session.Store().(*sessions.FilesystemStore); files {
		return isFileGone(err)
	}
	return slices.ContainsFunc(noRecord, func(text string) bool { return strings.HasSuffix(err.Error(), text) })
}

// isBadCookie: a cookie that was tampered with, is too long, expired or signed by
// a key that is gone is the visitor's doing; a codec without a key is not, nor is
// what was signed by a key that is here and cannot be decoded all the same. That
// one counts again when the handler has put a user into it.
func isBadCookie(err securecookie.Error, session *sessions.Session) bool {
	if err.IsUsage() && !err.IsDecode() {
		return false
	}
	each, ok := err.(securecookie.MultiError)
	if !ok {
		each = []error{err}
	}
	if session.ID != "" { // the cookie was good, but what the store has under its id was not
		return len(session.Values) > 0 || slices.ContainsFunc(each, isExpired)
	}
	return len(session.Values) > 0 || !slices.ContainsFunc(each, isUndecodable)
}

func isExpired(err error) bool { return err.Error() == "securecookie: expired timestamp" }

func isUndecodable(err error) bool {
	var cookie securecookie.Error
	if !errors.As(err, &cookie) || cookie.Cause() == nil {
		return false
	}
	var garbage base64.CorruptInputError // met before the signature is looked at
	return !errors.As(cookie.Cause(), &garbage)
}

// isFileGone: the session's file is, but not the folder with all of them.
func isFileGone(err error) bool {
	var file *fs.PathError
	if !errors.As(err, &file) || !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	folder, err := os.Stat(filepath.Dir(file.Path))
	return err == nil && folder.IsDir()
}

// noRecord is how clients of databases and caches say that a record is not there.
// Most session stores take that for a new session, but those on memcached hand it
// on. The errors are known by their texts, so that no client is compiled in.
var noRecord = []string{
	"memcache: cache miss",          // github.com/bradfitz/gomemcache
	"mc: not found",                 // github.com/memcachier/mc
	"redis: nil",                    // github.com/redis/go-redis
	"redigo: nil returned",          // github.com/gomodule/redigo
	"no rows in result set",         // database/sql and github.com/jackc/pgx
	"record not found",              // gorm.io/gorm
	"mongo: no documents in result", // go.mongodb.org/mongo-driver
}
