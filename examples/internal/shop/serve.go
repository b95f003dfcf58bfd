package shop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Main runs an example until it ends or is told to by Ctrl-C or SIGTERM. A second
// Ctrl-C does not wait.
func Main(run func(ctx context.Context, args []string, stdout io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	// drainTimeout bounds the end of the program: first its requests, then its audits.
	drainTimeout = 10 * time.Second
	// maxBody is far more than a form of this page holds.
	maxBody = 64 << 10
)

// Serve answers requests on addr until ctx ends and those under way are answered.
func Serve(ctx context.Context, addr string, handler http.Handler, stdout io.Writer) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w: choose another address with -addr, such as 127.0.0.1:0", err)
	}
	at := listener.Addr().(*net.TCPAddr)
	if !at.IP.IsLoopback() {
		fmt.Fprintf(stdout, "WARNING: %s can be reached from other machines, and anybody may sign in under any name.\n", at)
	}
	if at.IP.IsUnspecified() {
		at.IP = net.IPv4(127, 0, 0, 1)
	}
	fmt.Fprintf(stdout, "Open http://%s (Ctrl-C ends it)\n", at)

	server := &http.Server{
		Handler:           protect(handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	fmt.Fprintln(stdout, "Draining")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err = server.Shutdown(drain)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
	}
	<-ended
	return err
}

// Drain waits for the audits under way, closes rec and its store, and prints what
// became of all audits.
func Drain(rec *core.Recorder, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err := rec.Close(ctx)
	n := rec.Stats()
	fmt.Fprintf(stdout, "Audits: %d attempted, %d stored, %d cancelled, %d failed, %d unknown\n",
		n.Attempted, n.Stored, n.Cancelled, n.Failed, n.Unknown)
	return err
}

// protect refuses what other sites make a browser send, bounds what is read, and
// tells browsers what the page may do: show its own style sheet and send its forms.
func protect(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(next, maxBody))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+styleHash+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
