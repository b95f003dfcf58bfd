package cookbook

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// clients are the machines that may call, by the SHA-256 of their keys: neither the
// program nor its audits hold a key.
var clients = map[string]string{
	"7a943895e42e5401a6ecc1694b4d595a7af021c4bdd3066c3805099daca26cf8": "machine:billing",
}

func client(r *http.Request) (string, error) {
	sum := sha256.Sum256([]byte(r.Header.Get("X-API-Key")))
	return clients[hex.EncodeToString(sum[:])], nil
}

// A machine is a user like any other. A prefix keeps its name apart from people's.
func Example_apiKey() {
	export := func(w http.ResponseWriter, r *http.Request) {
		if name, _ := client(r); name == "" {
			http.Error(w, "unknown key", http.StatusUnauthorized)
			return
		}
		if err := nethttpaudit.Audit(r, "export", core.Fields{"rows": 7}); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	}
	rec := newTrail()
	handler := nethttpaudit.Middleware(rec, nethttpaudit.User(client))(http.HandlerFunc(export))

	for _, key := range []string{"billing 1", "guessed"} {
		r := httptest.NewRequest("GET", "/export", nil)
		r.Header.Set("X-API-Key", key)
		send(handler, r)
	}
	show(rec)
	// Output:
	// 200 OK
	// 401 Unauthorized
	// export by machine:billing at /export map[rows:7]
}
