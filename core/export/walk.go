package export

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/auditing-go/auditing/core"
)

const (
	// firstPage is how many events are asked for first, when it is not known how large they are.
	firstPage = 16
	// maxPage and pageBytes bound what is asked for at once.
	maxPage   = 1000
	pageBytes = 1 << 20
	// maxReasons is how many different errors of pages are told.
	maxReasons = 10
)

// walk calls each with every event of q. each returns about how many bytes the event has, and
// an error that ends the walk. What could not be read is named by the error, behind all that could.
func walk(ctx context.Context, reader core.Reader, q core.Query, each func(core.Event) (int, error)) error {
	var missing []error
	for q.Limit = firstPage; ; {
		page, err := reader.Read(ctx, q)
		if err != nil && len(missing) < maxReasons && !slices.ContainsFunc(missing, func(e error) bool { return e.Error() == err.Error() }) {
			missing = append(missing, err)
		}
		size := 0
		for _, e := range page.Events {
			n, err := each(e)
			if err != nil {
				return errors.Join(append(missing, err)...)
			}
			size += n
		}
		switch {
		case err != nil && ctx.Err() != nil, page.Next == "":
			return errors.Join(missing...)
		case page.Next == q.After:
			return errors.Join(append(missing, fmt.Errorf("the %T answers with the same page again", reader))...)
		}
		q.After = page.Next
		if n := len(page.Events); n > 0 {
			q.Limit = min(max(pageBytes*n/max(size, 1), 1), maxPage, 2*q.Limit)
		}
	}
}

// reasons are the errors that were joined, as texts.
func reasons(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var all []string
	for _, err := range joined.Unwrap() {
		all = append(all, reasons(err)...)
	}
	return all
}
