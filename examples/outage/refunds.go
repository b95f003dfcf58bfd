package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// refunds is the shop: each POST refunds an order.
type refunds struct {
	last atomic.Int64 // the number of the last one

	mu           sync.Mutex
	acknowledged []int64 // the numbers of those whose audit returned nil
}

func (s *refunds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number := s.last.Add(1)
	err := nethttpaudit.Audit(r, "refund", nethttpaudit.Fields{"number": number, "order": r.PostFormValue("order")})
	switch {
	case errors.Is(err, core.ErrNoUser):
		http.Error(w, "say who you are", http.StatusUnauthorized)
		return
	case err != nil:
		http.Error(w, "not refunded, try again", http.StatusServiceUnavailable)
		return
	}
	// Here the money would be sent.
	s.mu.Lock()
	s.acknowledged = append(s.acknowledged, number)
	s.mu.Unlock()
	fmt.Fprintln(w, "refunded, number", number)
}

// answered is how many refunds were acknowledged so far.
func (s *refunds) answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acknowledged)
}

// count prints how many of the acknowledged refunds are rows. The error says that
// one is missing or there twice.
func (s *refunds) count(ctx context.Context, dsn string, stdout io.Writer) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	const query = "SELECT count(*), count(DISTINCT number) FROM refund WHERE number = ANY($1)"
	var rows, different int
	if err := conn.QueryRow(ctx, query, s.acknowledged).Scan(&rows, &different); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\n  %d, %d\n", query, rows, different)
	if n := s.answered(); rows != n || different != n {
		return fmt.Errorf("of %d refunds that were answered %d have arrived, in %d rows", n, different, rows)
	}
	fmt.Fprintf(stdout, "All %d rows arrived, each once.\n", rows)
	return nil
}

// customers refund all the time.
type customers struct {
	gone   chan struct{}
	all    sync.WaitGroup
	failed atomic.Int64
}

// serveCustomers sends some to the shop.
func serveCustomers(url string) *customers {
	c := &customers{gone: make(chan struct{})}
	const many = 8
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: many}}
	for n := range many {
		c.all.Go(func() {
			every := time.NewTicker(10 * time.Millisecond)
			defer every.Stop()
			for {
				select {
				case <-c.gone:
					return
				case <-every.C:
					if err := refund(client, url, fmt.Sprint("customer-", n)); err != nil {
						c.failed.Add(1)
					}
				}
			}
		})
	}
	return c
}

// leave ends them and returns how many refunds they did not get.
func (c *customers) leave() (failed int64) {
	close(c.gone)
	c.all.Wait()
	return c.failed.Load()
}

func refund(client *http.Client, url, user string) error {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader("order=A-1"))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(user, "")
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		return errors.Join(err, errors.New(response.Status))
	}
	return nil
}
