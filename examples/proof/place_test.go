package proof_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
	_ "github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
	"github.com/auditing-go/auditing/stores/spool"
	_ "github.com/auditing-go/auditing/stores/sqlite"
)

// place is where events are stored in the end.
type place struct{ driver, dsn string }

// drivers are those that each test of stores takes.
var drivers = []string{"sqlite", "postgres_auto", "spool+sqlite", "spool+postgres_auto"}

// newPlace returns an empty one.
func newPlace(t *testing.T, driver string) place {
	t.Helper()
	dsn := t.TempDir() + "/audits.db"
	switch {
	case strings.HasSuffix(driver, "postgres_auto"):
		dsn = pgtest.DSN(t)
	case strings.HasSuffix(driver, "elasticsearch"):
		server := elasticsearch(t)
		dsn = server + "/" + estest.Index(t, server)
	}
	if strings.HasPrefix(driver, "spool+") {
		dsn = "dir=" + t.TempDir() + ";" + dsn
	}
	return place{driver, dsn}
}

// elasticsearch returns the URL of a server: the one that was given, or one of the
// test's own.
func elasticsearch(t *testing.T) string {
	t.Helper()
	if kind := estest.Elasticsearch; os.Getenv(kind.Env()) != "" {
		return estest.URL(t, kind)
	}
	return estest.Start(t, estest.Elasticsearch, 1).URLs[0]
}

func (p place) open(t *testing.T) core.Store {
	t.Helper()
	s, err := stores.Open(t.Context(), p.driver, p.dsn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stored returns how often each key from the given one on is stored. A key is the
// user of an event: every table has that column. A spool is emptied first.
func (p place) stored(t *testing.T, from string) map[string]int {
	t.Helper()
	driver, dsn, spooled := strings.Cut(p.driver, "+")
	if spooled {
		s := p.open(t)
		flush(t, s.(*spool.Store))
		if err := s.(core.Closer).Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		driver = dsn
		_, dsn, _ = strings.Cut(p.dsn, ";")
	} else {
		dsn = p.dsn
	}
	switch driver {
	case "sqlite":
		return storedInSQLite(t, dsn, from)
	case "elasticsearch":
		return storedInElasticsearch(t, dsn, from)
	}
	return storedInPostgres(t, dsn, from)
}

func flush(t *testing.T, s *spool.Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Waiting > 0 || st.SetAside > 0 {
		t.Fatalf("after a flush %d events wait in the spool and %d are set aside", st.Waiting, st.SetAside)
	}
}

func storedInPostgres(t *testing.T, dsn, from string) map[string]int {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background())
	rows, _ := conn.Query(t.Context(), `SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
		WHERE attname = 'audit_id' AND relkind = 'r'`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, table := range tables {
		rows, _ := conn.Query(t.Context(), "SELECT username FROM "+table+" WHERE username >= $1", from)
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			found[key]++
		}
	}
	return found
}

func storedInSQLite(t *testing.T, path, from string) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	column := func(query string, args ...any) (values []string) {
		rows, err := db.QueryContext(t.Context(), query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return values
	}
	found := map[string]int{}
	for _, table := range column(`SELECT m.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'audit_id'`) {
		for _, key := range column(`SELECT username FROM "`+table+`" WHERE username >= ?`, from) {
			found[key]++
		}
	}
	return found
}

// storedInElasticsearch looks into the index and into that of dead letters.
func storedInElasticsearch(t *testing.T, index, from string) map[string]int {
	t.Helper()
	const most = 10_000 // that a search gives
	ask := func(path, body string, into any) {
		status, answer := estest.Do(t, http.MethodPost, index+"*/"+path, body)
		if err := json.Unmarshal([]byte(answer), into); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
	}
	// An index that was made just now has no shard yet that could be searched.
	at := strings.LastIndex(index, "/")
	estest.Do(t, http.MethodGet, index[:at]+"/_cluster/health"+index[at:]+"*?wait_for_status=yellow&timeout=30s", "")
	ask("_refresh", "", &struct{}{})
	query, err := json.Marshal(map[string]any{"range": map[string]any{"user.name": map[string]string{"gte": from}}})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for last := ""; ; {
		var page struct {
			Hits struct {
				Hits []struct {
					Source struct {
						Event struct{ ID string }
						User  struct{ Name string }
					} `json:"_source"`
				}
			}
		}
		ask("_search", fmt.Sprintf(`{"size": %d, "query": %s, "sort": ["event.id"], "search_after": [%q]}`, most, query, last), &page)
		for _, hit := range page.Hits.Hits {
			found[hit.Source.User.Name]++
			last = hit.Source.Event.ID
		}
		if len(page.Hits.Hits) < most {
			return found
		}
	}
}
