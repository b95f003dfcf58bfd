// Command image is a program that needs no file but its own: SQLite is compiled in
// without cgo. Its Dockerfile makes an image of it from scratch.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/sqlite"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("name the file that keeps the audits")
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	store, err := stores.Open(ctx, "sqlite", file)
	if err != nil {
		return err
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return err
	}
	err = rec.Audit(ctx, "start", nil, core.As("image"))
	err = errors.Join(err, rec.Close(ctx))
	fmt.Println(rec.Stats().Stored, "stored in", file)
	return err
}
