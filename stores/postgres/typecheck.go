package postgres

import (
	"strconv"
	"strings"

	"github.com/auditing-go/auditing/stores/gormstore"
)

// typeCheck begins a statement with a query that is never run, but with which the
// server plans nothing unless the columns are of the types that they are taken for. So
// it costs a write nothing. The first part of a recursive query has to be of the type,
// precision included, that is common to both: the column's there, and the one that it
// is taken for beside it. Text of any collation will do.
func typeCheck(columns []filled, table string) string {
	first := make([]string, 0, 2*len(columns))
	second := make([]string, 0, 2*len(columns))
	for i, c := range columns {
		found, taken := "t."+gormstore.Quote(c.Name), "NULL::"+storedType(c.Kind)
		if c.Kind == gormstore.Text {
			found += ` COLLATE pg_catalog."default"`
		}
		n := strconv.Itoa(i + 1)
		first = append(first, found+" AS f"+n, taken+" AS t"+n)
		second = append(second, taken, found)
	}
	return "WITH RECURSIVE checked AS (SELECT " + strings.Join(first, ", ") + " FROM " + table + " t" +
		" UNION ALL SELECT " + strings.Join(second, ", ") + " FROM checked, " + table + " t) "
}

// storedType is the type of a column that holds values of a kind.
func storedType(k gormstore.Kind) string {
	if k == gormstore.LocalTime {
		return "timestamp"
	}
	return types[k]
}
