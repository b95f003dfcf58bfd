package echoaudit

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/labstack/echo/v4"
)

// contextCopy is what a [User] function is given: nothing of it is used again for
// another request. What was Set in the real one is there as long as that is current.
type contextCopy struct {
	echo.Context
	real echo.Context
	live func(read func())
}

func (c *contextCopy) Get(key string) (v any) {
	if v = c.Context.Get(key); v == nil {
		c.live(func() { v = c.real.Get(key) })
	}
	return v
}

func copyContext(c any, r *http.Request, live func(read func())) any {
	return copyOf(c.(echo.Context), r, live)
}

func copyOf(c echo.Context, r *http.Request, live func(read func())) echo.Context {
	if own, ok := copyCustom(c, r, live); ok {
		return own
	}
	e := c.Echo()
	if e == nil {
		e = echo.New()
	}
	own := e.NewContext(r, nil)
	own.SetPath(c.Path())
	own.SetParamNames(slices.Clone(c.ParamNames())...)
	own.SetParamValues(c.ParamValues()...)
	return &contextCopy{Context: own, real: c, live: live}
}

// copyCustom copies an application's own context, a struct around an [echo.Context],
// so that it keeps its type.
func copyCustom(c echo.Context, r *http.Request, live func(read func())) (echo.Context, bool) {
	const embedded = "Context"
	from := reflect.Indirect(reflect.ValueOf(c))
	if from.Kind() != reflect.Struct {
		return nil, false
	}
	inner, ok := from.Type().FieldByName(embedded)
	if !ok || inner.Type != reflect.TypeFor[echo.Context]() || from.FieldByIndex(inner.Index).IsNil() {
		return nil, false
	}
	own := reflect.New(from.Type())
	own.Elem().Set(from)
	around := from.FieldByIndex(inner.Index).Interface().(echo.Context)
	own.Elem().FieldByIndex(inner.Index).Set(reflect.ValueOf(copyOf(around, r, live)))
	if reflect.TypeOf(c).Kind() != reflect.Pointer {
		own = own.Elem()
	}
	return own.Interface().(echo.Context), true
}
