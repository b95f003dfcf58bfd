package echoaudit

import (
	"strings"
	"testing"

	"github.com/labstack/echo/v5"
)

// A version of echo that keeps what was Set elsewhere is told from one in which nothing was.
func TestFieldThatIsNotThere(t *testing.T) {
	for name, read := range map[string]func(){
		"gone":            func() { field[int](&echo.Context{}, "gone") },
		"of another type": func() { field[int](&echo.Context{}, "store") },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, "nethttpaudit.User") {
					t.Errorf("%s: %q", name, text)
				}
			}()
			read()
		}()
	}
}
