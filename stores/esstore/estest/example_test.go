package estest_test

import (
	"testing"

	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// The same test on a server of each kind; its package has a TestMain that calls Main.
func ExampleEach() {
	_ = func(t *testing.T) {
		estest.Each(t, func(t *testing.T, url string) {
			store, err := esstore.Open(t.Context(), url+"/"+estest.Index(t, url), esstore.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close(t.Context())
		})
	}
}
