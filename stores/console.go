package stores

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/auditing-go/auditing/core"
)

func openConsole(_ context.Context, dsn string) (core.Store, error) {
	// A nil writer is standard output as it stands at each write.
	var w io.Writer
	var opts []core.ConsoleOption
	for _, word := range strings.Fields(dsn) {
		switch word {
		case "stdout":
			w = nil
		case "stderr":
			w = os.Stderr
		case "text":
			opts = nil
		case "json":
			opts = []core.ConsoleOption{core.JSONLines()}
		default:
			return nil, errors.New("the dsn holds a word that is none of stdout, stderr, text, json")
		}
	}
	return core.NewConsole(w, opts...), nil
}
