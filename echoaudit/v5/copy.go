package echoaudit

import (
	"fmt"
	"net/http"
	"reflect"
	"sync"

	"github.com/labstack/echo/v5"
)

// copyContext returns a context for a [User] function, of which nothing is used again for
// another request.
func copyContext(c any, r *http.Request, _ func(func())) any {
	from := c.(*echo.Context)
	own := echo.NewContext(r, nil, from.Echo())
	route, values := from.RouteInfo(), from.PathValues()
	own.InitializeRoute(&route, &values)
	own.SetPath(from.Path())
	own.SetLogger(from.Logger())
	kept, lock := field[map[string]any](from, "store"), field[sync.RWMutex](from, "lock")
	lock.RLock()
	defer lock.RUnlock()
	for key, value := range *kept {
		own.Set(key, value)
	}
	return own
}

// field returns an unexported field of c: there is no other way to all that was Set in it.
// A version of echo without the field must not make nobody of a user.
func field[T any](c *echo.Context, name string) *T {
	f := reflect.ValueOf(c).Elem().FieldByName(name)
	if !f.IsValid() || f.Type() != reflect.TypeFor[T]() {
		panic(fmt.Sprintf("echoaudit does not know where this version of echo keeps what was Set in a context (there is no field %s): give nethttpaudit.User instead of echoaudit.User", name))
	}
	return (*T)(f.Addr().UnsafePointer())
}
