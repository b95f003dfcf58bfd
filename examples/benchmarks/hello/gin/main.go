// Command gin is a small server that audits nothing.
package main

import (
	"log"
	"net/http"

	"github.com/gin-gonic/gin"
)

func main() {
	r := gin.New()
	r.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "hello") })
	log.Fatal(r.Run("127.0.0.1:8080"))
}
