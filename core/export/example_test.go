package export_test

import (
	"context"
	"fmt"
	"os"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
)

func ExampleWrite() {
	rec := example() // yours, from core.New

	manifest, err := export.Write(context.Background(), os.Stdout, rec, core.Query{Tag: "refund"}, export.Options{By: "alice"})
	fmt.Println(manifest.Events, manifest.Complete, err)
	// Output:
	// {"id":"0198c0de-0000-7000-8000-000000000001","tag":"refund","username":"bob","datetime":"2026-11-26T09:30:00.000000Z","request":{"outcome":"denied","reason":"over the limit","target":"order/42"},"fields":{"amount":900}}
	// 1 true <nil>
}
