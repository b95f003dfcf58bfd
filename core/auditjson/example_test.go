package auditjson_test

import (
	"fmt"
	"math"
	"time"

	"github.com/auditing-go/auditing/core/auditjson"
)

func ExampleAppend() {
	data := auditjson.Append(nil, map[string]any{
		"int":   int64(1),
		"float": 1.0,
		"nan":   math.NaN(),
		"time":  time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
		"bytes": []byte("raw"),
		"$own":  "<b>",
	})
	fmt.Printf("%s\n", data)

	back, err := auditjson.Parse(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	m := back.(map[string]any)
	fmt.Printf("%T %T %v %v %s %s\n", m["int"], m["float"], m["nan"], m["time"], m["bytes"], m["$own"])
	// Output:
	// {"$$own":"<b>","bytes":{"$bytes":"cmF3"},"float":1.0,"int":1,"nan":{"$float":"NaN"},"time":{"$time":"2020-01-02T03:04:05.000000Z"}}
	// int64 float64 NaN 2020-01-02 03:04:05 +0000 UTC raw <b>
}

func ExampleEqual() {
	fmt.Println(auditjson.Equal(int64(1), 1.0))
	fmt.Println(auditjson.Equal(int64(1<<53+1), float64(1<<53)))
	fmt.Println(auditjson.Equal(math.NaN(), math.NaN()))
	fmt.Println(auditjson.Equal(map[string]any{"a": nil}, map[string]any{}))
	// Output:
	// true
	// false
	// true
	// true
}
