package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// writerEnv names the file to which a child of this test writes.
const writerEnv = "AUDITING_TEST_SQLITE_FILE"

// TestRotationWriter is a process of its own: it prints the id of every event that its
// store acknowledged, until its standard input ends.
func TestRotationWriter(t *testing.T) {
	file := os.Getenv(writerEnv)
	if file == "" {
		t.Skip("a child of TestRotation")
	}
	store, err := sqlite.Open(t.Context(), file, sqlite.Config{})
	for err != nil { // the file is away just now, and its log is there
		store, err = sqlite.Open(t.Context(), file, sqlite.Config{})
	}
	defer store.Close(context.Background())
	ended := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return
		default:
		}
		e := core.Event{Tag: "ev", User: "me", Fields: core.Fields{"n": 1}}.Normalize(0)
		if err := store.Save(t.Context(), []core.Event{e}); err == nil {
			fmt.Println("stored", e.ID)
		}
	}
}

// TestRotation renames the file again and again, and only the file, under several
// processes that write to it. What each of them had acknowledged is in one of the files.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "audits.db")
	openFile(t, file, sqlite.Config{}).Close(t.Context())
	const writers, rotations, each = 3, 20, 50
	lines := make(chan string, 1000)
	var stdins []io.Closer
	var running sync.WaitGroup
	for range writers {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRotationWriter$")
		cmd.Env = append(os.Environ(), writerEnv+"="+file)
		stdin, _ := cmd.StdinPipe()
		stdout, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stdins = append(stdins, stdin)
		running.Go(func() {
			for l := bufio.NewScanner(stdout); l.Scan(); {
				lines <- l.Text()
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	go func() {
		running.Wait()
		close(lines)
	}()
	acknowledged := map[string]bool{}
	rotated := 0
	for line := range lines {
		id, ok := strings.CutPrefix(line, "stored ")
		if !ok {
			continue
		}
		if acknowledged[id] = true; rotated == rotations || len(acknowledged) < each*(rotated+1) {
			continue
		}
		// While none of them has made it anew, there is nothing to rename.
		if err := os.Rename(file, fmt.Sprintf("%s.%d", file, rotated)); err == nil {
			rotated++
		}
		if rotated == rotations {
			for _, stdin := range stdins {
				stdin.Close()
			}
		}
	}
	stored := map[string]bool{}
	for _, name := range globbed(t, file+"*") {
		if strings.HasSuffix(name, "-wal") || strings.HasSuffix(name, "-shm") {
			continue
		}
		db := openDB(t, name)
		var whole string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&whole); err != nil || whole != "ok" {
			t.Errorf("%s is damaged: %s (%v)", name, whole, err)
		}
		for _, id := range idsIn(t, db) {
			stored[id] = true
		}
	}
	lost := 0
	for id := range acknowledged {
		if !stored[id] {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged events are in none of the files", lost, len(acknowledged))
	}
	t.Logf("%d acknowledged, %d stored", len(acknowledged), len(stored))
}

func globbed(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func idsIn(t *testing.T, db *sql.DB) (ids []string) {
	t.Helper()
	for _, table := range []string{"ev", "audit_overflow"} {
		rows, err := db.Query("SELECT audit_id FROM " + table)
		if err != nil {
			continue // a file that was renamed before its first event
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}
