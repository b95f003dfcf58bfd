package stores_test

import (
	"context"
	"fmt"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
)

func Example() {
	ctx := context.Background()
	store, err := stores.Open(ctx, "console", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rec.Close(ctx)

	at := time.Date(2019, 12, 5, 13, 55, 55, 636742000, time.UTC)
	err = rec.Audit(ctx, "mytag", core.Fields{"a": "some data", "c": "some other data", "b": 0}, core.As("me"), core.At(at))
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 2019-12-05 13:55:55.636742Z mytag: me {a: "some data", b: 0, c: "some other data"}
}

func ExampleOpen_unknownDriver() {
	_, err := stores.Open(context.Background(), "postgres_auto", "host=127.0.0.1 user=postgres dbname=mydb")
	fmt.Println(err)
	// Output:
	// stores: driver "postgres_auto" is not compiled in: add import _ "github.com/auditing-go/auditing/stores/postgres"
}
