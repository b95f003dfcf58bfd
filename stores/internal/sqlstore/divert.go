package sqlstore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The kinds of warnings of events that are stored in the overflow table, and of values that
// stand in no column of their own. Each has a budget, so that names that users choose take
// none from the others.
const (
	untabled = "a tag has no table: its events are stored in audit_overflow"
	notUsed  = "a table is not used: its events go to audit_overflow"
	absent   = "a table is missing: its events are stored in audit_overflow"
	unmade   = "a table cannot be made for now and is tried again: its events are stored in audit_overflow"
	late     = "a table is not there yet: its events are stored in audit_overflow"
	tooMany  = "there is no room for another table: its events are stored in audit_overflow"
	refusing = "a table refuses events: they are stored in audit_overflow"

	misnamed     = "a field cannot have a column: its values are stored in audit_extra"
	misfit       = "a column does not take a value: it is stored in audit_extra, or in audit_request"
	absentColumn = "a column is missing: its values are stored in audit_extra, or in audit_request"
	unmadeColumn = "a column cannot be made for now and is tried again: its values are stored in audit_extra, or in audit_request"
	lateColumn   = "a column is not there yet: its values are stored in audit_extra, or in audit_request"
	noRoom       = "a table has no room for another column: its values are stored in audit_extra, or in audit_request"
)

// diversion is why events, or values of them, are stored elsewhere than asked for.
type diversion struct {
	diversionKey
	indexes []int
	args    []any
}

type diversionKey struct {
	kind, key string
	own       bool // the table of their own takes the events, and not all of their values
}

// because notes a reason to warn of when the events are stored so: while they are not, their
// errors say it.
func (sv *saving) because(of diversionKey, indexes []int, args func() []any) {
	if sv.store.isWarned(of.kind, of.key) {
		return
	}
	at, ok := sv.diversionAt[of]
	if !ok {
		if sv.diversionAt == nil {
			sv.diversionAt = map[diversionKey]int{}
		}
		at = len(sv.diversions)
		sv.diversionAt[of] = at
		sv.diversions = append(sv.diversions, diversion{diversionKey: of, args: args()})
	}
	sv.diversions[at].indexes = append(sv.diversions[at].indexes, indexes...)
}

// forget takes back what was noted of the values of events that are laid out anew.
func (sv *saving) forget(indexes []int) {
	for n := range sv.diversions {
		if d := &sv.diversions[n]; d.own {
			d.indexes = slices.DeleteFunc(d.indexes, func(i int) bool { return slices.Contains(indexes, i) })
		}
	}
}

// tell warns of what this Save has stored elsewhere.
func (sv *saving) tell() {
	for _, d := range sv.diversions {
		if slices.ContainsFunc(d.indexes, func(i int) bool { return sv.fates[i].spilled != d.own && !sv.fates[i].failed }) {
			sv.store.warnOnce(d.kind, d.key, d.args...)
		}
	}
}

// foreign says why the relation that has the name of a table is not written to. It is ""
// when there is none, and when it is written to or will be taken over.
func (s *Store) foreign(name string) string {
	e := s.catalog.entry(name)
	switch adoptable := e.table == nil && e.rel.Adoptable(); {
	case e.rel.Name == "", e.writable() != nil, adoptable && !s.cfg.Fixed:
		return ""
	case e.table != nil:
		return "may not be written to: let its owner run: " + e.rel.Grant
	case adoptable:
		return "is of the Python library, and this store may not alter it to take it over"
	case e.rel.Audits():
		return "is not written to: " + s.unfit(e.rel)
	}
	return "is not one of audits and is left alone"
}

const tagAdvice = "use a tag with a letter of a-z or a digit, of no more than 63 bytes with the prefix, that begins neither with audit_ nor with pg_ or sqlite_"

// becauseOfTags gives the reason for events whose tags have no table. The recorder warns of
// those that are the library's.
func (sv *saving) becauseOfTags(indexes []int) {
	for _, i := range indexes {
		if tag := sv.events[i].Tag; !isLibraryTag(tag) {
			sv.because(diversionKey{kind: untabled, key: shortened(tag)}, []int{i}, func() []any {
				return []any{"tag", fmt.Sprintf("%.100s", tag), "reason", "no table may have its name: " + tagAdvice}
			})
		}
	}
}

func isLibraryTag(tag string) bool {
	return len(tag) > len("audit") && strings.EqualFold(tag[:len("audit")], "audit") && (tag[len("audit")] == '.' || tag[len("audit")] == '_')
}

// shortened is a name as it is remembered.
func shortened(name string) string { return name[:min(len(name), 4*MaxName)] }

// becauseOfNoTable gives the reason for events whose table is not there, although growing was
// asked for it.
func (sv *saving) becauseOfNoTable(g *group) {
	s := sv.store
	if s.catalog.table(g.name) != nil {
		return
	}
	failure := cmp.Or(s.grower.failure(g.name), sv.notYet())
	of := diversionKey{kind: late, key: g.name}
	if isFailure(failure) {
		of = diversionKey{kind: unmade, key: failureKey(g.name, failure)}
	}
	sv.because(of, g.indexes, func() []any {
		args := []any{"table", g.name, "reason", failure.Error()}
		switch {
		case of.kind == late:
			return append(args, "remedy", "none is needed: later events go to it; Declare makes one ahead of its first event")
		case errors.Is(failure, ErrDenied):
			return append(args, "statement", s.creation(g.name, sv.missing(nil, g.indexes)))
		}
		return args
	})
}

// creation returns the statements that make a table and let this role write to it.
func (s *Store) creation(table string, fields []Column) string {
	statements := s.backend.DDL(table, fields)
	if grant := s.backend.Grant(table); grant != "" {
		statements += "\n" + grant + ";"
	}
	return statements
}

// isFailure reports whether growing has failed, and not only not come to its end.
func isFailure(err error) bool {
	return !errors.Is(err, ErrUnderWay) && !errors.Is(err, errSlow) && !errors.Is(err, errJoined) && !errors.Is(err, errBraked)
}

// failureKey tells a failure that lasts until somebody grants something from others.
func failureKey(name string, err error) string {
	if errors.Is(err, ErrDenied) {
		return name + " denied"
	}
	return name
}

// becauseOfValue gives the reason for a value that stands in no column of its own, a field's
// or a [fact]'s.
func (sv *saving) becauseOfValue(t *Table, i int, name string, v any, isFact bool) {
	s, k := sv.store, kindOf(v)
	rel := s.catalog.entry(t.Name).rel
	column, has := rel.column(name)
	of := diversionKey{key: t.Name + "." + shortened(name), own: true}
	failure := error(nil)
	switch {
	case !isFact && !ColumnName(name):
		of.kind = misnamed
	case has, !isFact && k == Other:
		of.kind, of.key = misfit, of.key+" "+k.String()
	case t.byLower[strings.ToLower(name)]:
		of.kind = misnamed
	case t.total >= s.cfg.MaxColumns:
		of.kind = noRoom
	case s.cfg.Fixed:
		of.kind = absentColumn
	default:
		of.kind = lateColumn
		if failure = cmp.Or(s.grower.failure(t.Name), sv.notYet()); isFailure(failure) {
			of.kind, of.key = unmadeColumn, failureKey(of.key, failure)
		}
	}
	sv.because(of, []int{i}, func() []any {
		reason, statement, remedy := "", "", "name the field otherwise"
		switch of.kind {
		case misnamed:
			if !isFact {
				reason = misnaming(name)
			}
			if reason == "" {
				twin := rel.Columns[slices.IndexFunc(rel.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })]
				reason, remedy = "its name is that of a column in another case", "name the field "+twin.Name
				if isFact {
					remedy, statement = "", s.rename(t.Name, twin.Name)
				}
			}
		case misfit:
			reason, statement, remedy = s.misfitting(t.Name, column, k)
			if isFact && statement == "" {
				statement = s.rename(t.Name, name)
			}
		case noRoom:
			reason, remedy = fmt.Sprint("it has ", t.total, " columns"), "raise MaxColumns"
		case absentColumn:
			statement = s.backend.AddColumns(t.Name, []Column{{Name: name, Kind: k}})
		case unmadeColumn:
			reason, remedy = failure.Error(), ""
			if errors.Is(failure, ErrDenied) {
				statement = s.backend.AddColumns(t.Name, []Column{{Name: name, Kind: k}})
			}
		case lateColumn:
			reason, remedy = failure.Error(), "none is needed: later values go to it; Declare makes one ahead of its first event"
		}
		args := []any{"table", t.Name, "field", fmt.Sprintf("%.100s", name)}
		if reason != "" {
			args = append(args, "reason", reason)
		}
		switch {
		case statement != "":
			args = append(args, "statement", statement)
		case remedy != "":
			args = append(args, "remedy", remedy)
		}
		return args
	})
}

// misnaming says why no column can have a name, "" when one can.
func misnaming(name string) string {
	isChar := func(r rune) bool { return r < 0x80 && (isLower(byte(r)) || 'A' <= r && r <= 'Z') }
	switch {
	case ColumnName(name):
		return ""
	case name == "":
		return "it has no name"
	case isOwn(name):
		return "names that begin with audit_ are the library's own"
	case slices.ContainsFunc([]rune(name), func(r rune) bool { return !isChar(r) }):
		return "its name has other characters than letters of ASCII, digits and _"
	case len(name) > MaxName:
		return fmt.Sprint("its name is longer than ", MaxName, " bytes")
	}
	return "its name is kept for the columns that every table has, or by the database"
}

// misfitting says why a column does not keep a value of kind k, and what ends that.
func (s *Store) misfitting(table string, c Column, k Kind) (reason, statement, remedy string) {
	reason, remedy = "the value is of type "+k.String()+" and the column of type "+c.typeName(), "name the field otherwise"
	switch {
	case k == Other:
		reason, remedy = "a whole number is above those of bigint", "give the field such values as texts"
	case c.Type != "" && c.Kind == k, c.Kind == Int && k == Float:
		statement = s.backend.Retype(table, Column{Name: c.Name, Kind: k})
	case c.Type != "", c.Kind > JSON && !(c.Kind == LocalTime && k == Time): // as no store makes one
		statement = s.rename(table, c.Name)
	case c.Kind == k, c.Kind == Float && k == Int, c.Kind == LocalTime && k == Time:
		reason = "the column is of type " + c.typeName() + " and does not keep such a value as it is"
	}
	return reason, statement, remedy
}

// rename returns the statement that takes a column out of the way, so that another is made.
func (s *Store) rename(table, column string) string {
	return "ALTER TABLE " + s.backend.Table(table) + " RENAME COLUMN " + Quote(column) + " TO " + Quote(fmt.Sprintf("%.58s_old", column))
}
