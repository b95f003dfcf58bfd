package core

import (
	"os"
	"strings"
	"testing"
)

// TestAuditsBeforeAnyRecorderGoToTheConsole also goes for two of them: the first
// one's recorder is none that the application made.
func TestAuditsBeforeAnyRecorderGoToTheConsole(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	made, named, stdout := anyRecorder.Load(), defaultRecorder.Load(), os.Stdout
	anyRecorder.Store(false)
	defaultRecorder.Store(nil)
	os.Stdout = file
	defer func() {
		anyRecorder.Store(made)
		defaultRecorder.Store(named)
		os.Stdout = stdout
	}()
	for _, tag := range []string{"first", "second"} {
		if err := Audit(t.Context(), tag, Fields{"n": 1}, As("me")); err != nil {
			t.Errorf("the %s audit: %v", tag, err)
		}
	}
	out, err := os.ReadFile(file.Name())
	if err != nil || strings.Count(string(out), "\n") != 2 || !strings.Contains(string(out), " second: me {n: 1}\n") {
		t.Errorf("standard output got %q, %v; want a line for each audit", out, err)
	}
	if first, second := consoleRecorder(), consoleRecorder(); first != second {
		t.Error("there are two recorders of the console")
	}
}
