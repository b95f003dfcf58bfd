package postgres

import (
	"strings"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// exactTimes begins a statement with a query that is never run, but with which the
// server plans nothing unless the times among the columns are kept to the microsecond,
// for both parts of a recursive query must be of one type, precision included. So it
// costs a write nothing. [backend.writeInsert] says what it guards against; the type
// alone, which pg_typeof gives, does not tell timestamptz(0) from timestamptz.
func exactTimes(columns []filled, table string) string {
	var names, wanted []string
	for _, c := range columns {
		if typ, ok := timeTypes[c.Kind]; ok {
			names = append(names, gormstore.Quote(c.Name))
			wanted = append(wanted, "NULL::"+typ)
		}
	}
	return "WITH RECURSIVE exact AS (SELECT " + strings.Join(names, ", ") + " FROM " + table +
		" UNION ALL SELECT " + strings.Join(wanted, ", ") + " FROM exact) "
}

// timeTypes are the types of the columns that hold times.
var timeTypes = map[gormstore.Kind]string{gormstore.Time: types[gormstore.Time], gormstore.LocalTime: "timestamp"}
