// Command spool is a small server that audits into a spool before PostgreSQL.
package main

import (
	"context"
	"log"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/ginaudit"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/postgres"
	_ "github.com/auditing-go/auditing/stores/spool"
)

func main() {
	store, err := stores.Open(context.Background(), "spool+postgres_auto", "dir=audits;host=127.0.0.1 user=postgres dbname=mydb")
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	r := gin.New()
	r.Use(ginaudit.Middleware(rec))
	r.GET("/", func(c *gin.Context) {
		if err := ginaudit.Audit(c, "hello", ginaudit.Fields{"n": 1}); err != nil {
			c.AbortWithError(http.StatusServiceUnavailable, err)
			return
		}
		c.String(http.StatusOK, "hello")
	})
	log.Fatal(r.Run("127.0.0.1:8080"))
}
