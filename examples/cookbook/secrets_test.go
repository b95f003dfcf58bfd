package cookbook

import (
	"context"
	"fmt"
	"log"

	"github.com/auditing-go/auditing/core"
)

// Passwords, tokens and the like are hidden by their names without any setting. Hidden adds
// names of your own; what stands under a name of Keyed can still be searched for.
func Example_secrets() {
	key := []byte("from where passwords are kept")
	rec := newTrailWith(core.Config{Protect: []func(string, any) any{core.Secrets, core.Hidden("pin"), core.Keyed(key, "iban")}})
	ctx := core.NewContext(context.Background(), rec, job("example"))

	if err := core.Audit(ctx, "account", core.Fields{
		"plan": "gold", "pin": 1234, "iban": "DE02120300000000202051", "user": map[string]any{"apiKey": "sk-1", "password_changed_at": "today"},
	}); err != nil {
		log.Print(err)
	}
	page, err := rec.Read(ctx, core.Query{Fields: core.Fields{"iban": "DE02120300000000202051"}})
	fmt.Println(len(page.Events), err)
	show(rec)
	// Output:
	// 1 <nil>
	// account by job:example outside a request map[iban:hmac:31777bb0b9bd23fe92c5448003109cb4 pin:(hidden) plan:gold user:map[apiKey:(hidden) password_changed_at:today]]
}
