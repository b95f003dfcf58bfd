package pgserver_test

import (
	"fmt"
	"log"

	"github.com/auditing-go/auditing/stores/postgres/pgserver"
)

func ExampleStart() {
	server, err := pgserver.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	fmt.Println(server.DSN())
}
