package esstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
)

func ExampleOpen() {
	ctx := context.Background()
	store, err := esstore.Open(ctx, "https://app:password@es1:9200,es2:9200/audits?ca_file=/etc/ca.pem", esstore.Config{})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)

	if err := rec.Audit(ctx, "refund", core.Fields{"order": "A-1"}, core.As("alice")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(store.Stats().DeadLettered, "are to be looked at in audits-dead-letter")
}
