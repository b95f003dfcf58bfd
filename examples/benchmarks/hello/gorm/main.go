// Command gorm is a small server with a database and no audits.
package main

import (
	"log"
	"net/http"

	"github.com/gin-gonic/gin"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

func main() {
	db, err := gorm.Open(postgres.Open("host=127.0.0.1 user=postgres dbname=mydb"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	r := gin.New()
	r.GET("/", func(c *gin.Context) {
		if err := db.Exec("SELECT 1").Error; err != nil {
			c.AbortWithError(http.StatusServiceUnavailable, err)
			return
		}
		c.String(http.StatusOK, "hello")
	})
	log.Fatal(r.Run("127.0.0.1:8080"))
}
