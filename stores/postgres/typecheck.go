package postgres

import (
	"strconv"
	"strings"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// typeCheck begins a statement with a query that is never run, but with which the
// server plans nothing unless the columns are of the types that they are taken for. So
// it costs a write nothing. The first part of a recursive query has to be of the type,
// precision included, that is common to both parts: the column's, beside the one that
// it is taken for. That is the same type unless it gives way to another, see
// [givesWay]: then both stand in either part. Text of any collation will do.
func typeCheck(columns []filled, table string) string {
	var first, second []string
	for i, c := range columns {
		found, taken := "t."+gormstore.Quote(c.Name), "NULL::"+storedType(c.Kind)
		if c.Kind == gormstore.Text {
			found += ` COLLATE pg_catalog."default"`
		}
		n := strconv.Itoa(i + 1)
		first = append(first, found+" AS f"+n)
		second = append(second, taken)
		if givesWay(c.Kind) {
			first = append(first, taken+" AS t"+n)
			second = append(second, found)
		}
	}
	return "WITH RECURSIVE checked AS (SELECT " + strings.Join(first, ", ") + " FROM " + table + " t" +
		" UNION ALL SELECT " + strings.Join(second, ", ") + " FROM checked, " + table + " t) "
}

// givesWay reports whether the type of a kind has a common type with one that is not
// turned into it: bigint with numeric, timestamp with timestamptz. All other types that
// have one with ours are turned into ours.
func givesWay(k gormstore.Kind) bool { return k == gormstore.Int || k == gormstore.LocalTime }

// storedType is the type of a column that holds values of a kind.
func storedType(k gormstore.Kind) string {
	if k == gormstore.LocalTime {
		return "timestamp"
	}
	return types[k]
}
