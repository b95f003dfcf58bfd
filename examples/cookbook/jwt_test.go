package cookbook

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

type subjectKey struct{}

// checkToken is the layer that trusts nobody: it verifies the token and passes on whom
// it names.
func checkToken(key []byte, next http.Handler) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var claims jwt.RegisteredClaims
		_, err := parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return key, nil })
		if err != nil || claims.Subject == "" {
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), subjectKey{}, claims.Subject)))
	})
}

// User takes the name that the layer has verified; it never parses the token itself.
func Example_jwt() {
	user := nethttpaudit.User(func(r *http.Request) (string, error) {
		subject, _ := r.Context().Value(subjectKey{}).(string)
		return subject, nil
	})
	refund := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := nethttpaudit.Audit(r, "refund", core.Fields{"order": "A-1"}); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	key := []byte("a secret key of thirty-two bytes")
	rec := newTrail()
	handler := nethttpaudit.Middleware(rec, user)(checkToken(key, refund))

	for _, signedBy := range [][]byte{key, []byte("some other key")} {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
			Subject: "alice", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
		}).SignedString(signedBy)
		if err != nil {
			fmt.Println(err)
		}
		r := httptest.NewRequest("POST", "/refund", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		send(handler, r)
	}
	show(rec)
	// Output:
	// 200 OK
	// 401 Unauthorized
	// refund by alice at /refund map[order:A-1]
}
