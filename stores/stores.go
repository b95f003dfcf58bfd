// Package stores opens a store by the name of its driver, as database/sql opens a
// database. A driver registers itself when its package is imported:
//
//	import _ "github.com/auditing-go/auditing/stores/postgres"
//
//	store, err := stores.Open(ctx, "postgres_auto", "host=127.0.0.1 user=postgres dbname=mydb")
//
// The package itself imports no driver. "console" is always there; its dsn is any
// of these words, separated by spaces:
//
//	stdout  print to standard output, the default
//	stderr  print to standard error
//	text    one readable line an event, the default
//	json    one JSON object an event, with everything that is known about it
//
// A name of two drivers with a plus between them, such as "spool+postgres_auto",
// puts the first in front of the second; the first says what the dsn means.
package stores

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/auditing-go/auditing/core"
)

// Opener makes a store from a dsn. It must be safe for concurrent use, should end
// soon after ctx does, and keeps the dsn's password out of its errors.
type Opener func(ctx context.Context, dsn string) (core.Store, error)

// Wrapper makes a store in front of the one that driver, which may be unknown,
// opens by [Open]. What holds for an [Opener] holds for it too.
type Wrapper func(ctx context.Context, driver, dsn string) (core.Store, error)

var registry = struct {
	sync.RWMutex
	openers  map[string]Opener
	wrappers map[string]Wrapper
}{openers: map[string]Opener{"console": openConsole}, wrappers: map[string]Wrapper{}}

// importOf names the package that registers each driver of this module.
var importOf = map[string]string{
	"postgres":      "github.com/auditing-go/auditing/stores/postgres",
	"postgres_auto": "github.com/auditing-go/auditing/stores/postgres",
	"sqlite":        "github.com/auditing-go/auditing/stores/sqlite",
	"elasticsearch": "github.com/auditing-go/auditing/stores/esstore",
	"opensearch":    "github.com/auditing-go/auditing/stores/esstore",
}

// Register makes a driver known under name. It panics when name is empty or
// taken already, or when open is nil: these are mistakes in a program's init.
func Register(name string, open Opener) {
	if name == "" {
		panic("stores: Register without a name")
	}
	if open == nil {
		panic("stores: Register of " + name + " with a nil Opener")
	}
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.openers[name]; taken {
		panic("stores: Register called twice for " + name)
	}
	registry.openers[name] = open
}

// RegisterWrapper makes every driver known under name, a plus and its own name too.
// It panics when name is empty, holds a plus or is taken already, or when open is nil.
func RegisterWrapper(name string, open Wrapper) {
	if name == "" || strings.Contains(name, "+") {
		panic("stores: RegisterWrapper of the name " + strconv.Quote(name))
	}
	if open == nil {
		panic("stores: RegisterWrapper of " + name + " with a nil Wrapper")
	}
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.wrappers[name]; taken {
		panic("stores: RegisterWrapper called twice for " + name)
	}
	registry.wrappers[name] = open
}

// Drivers returns the names that [Open] knows, sorted.
func Drivers() []string {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Sorted(maps.Keys(registry.openers))
}

// Open opens a store with the named driver; the driver's package says what dsn
// means. [core.New] takes the store, and the recorder's Close closes it. Open is
// safe for concurrent use. Its errors show neither dsn nor its password.
func Open(ctx context.Context, driver, dsn string) (core.Store, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	open := opener(driver)
	if open == nil {
		return nil, unknownDriver(driver)
	}
	store, err := open(ctx, dsn)
	if err != nil {
		return nil, newOpenError(driver, dsn, err)
	}
	if store == nil {
		return nil, fmt.Errorf("stores: driver %q opened nothing and gave no error: this is a mistake in the driver", driver)
	}
	return store, nil
}

// opener finds what opens the driver, nil when it is unknown.
func opener(driver string) Opener {
	registry.RLock()
	defer registry.RUnlock()
	if open := registry.openers[driver]; open != nil {
		return open
	}
	outer, inner, _ := strings.Cut(driver, "+")
	wrap := registry.wrappers[outer]
	if wrap == nil || inner == "" {
		return nil
	}
	return func(ctx context.Context, dsn string) (core.Store, error) { return wrap(ctx, inner, dsn) }
}

// spoolImport is the package of the driver that stands in front of others.
const spoolImport = "github.com/auditing-go/auditing/stores/spool"

func unknownDriver(driver string) error {
	if outer, inner, _ := strings.Cut(driver, "+"); outer == "spool" {
		if inner == "" {
			return errors.New(`stores: a spool stands in front of another driver: open "spool+postgres_auto" or the like`)
		}
		return fmt.Errorf("stores: driver %.64q is not compiled in: add import _ %q", driver, spoolImport)
	}
	if path, ours := importOf[driver]; ours {
		return fmt.Errorf("stores: driver %q is not compiled in: add import _ %q", driver, path)
	}
	missing := slices.DeleteFunc(slices.Sorted(maps.Keys(importOf)), func(name string) bool {
		return slices.Contains(Drivers(), name)
	})
	text := fmt.Sprintf("stores: unknown driver %.64q: known are %s", driver, strings.Join(Drivers(), ", "))
	if len(missing) > 0 {
		text += "; not compiled in are " + strings.Join(missing, ", ")
	}
	return errors.New(text)
}
