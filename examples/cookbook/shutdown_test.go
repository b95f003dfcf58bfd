package cookbook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// serve answers until ctx ends, say by signal.NotifyContext: first the requests under way
// are answered, then their audits are stored.
func serve(ctx context.Context, server *http.Server, l net.Listener, rec *core.Recorder) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(drain), rec.Close(drain))
}

func Example_shutdown() {
	ctx, interrupt := context.WithCancel(context.Background())
	rec := newTrail()
	refund := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		interrupt() // SIGTERM while a request is under way
		if err := nethttpaudit.Audit(r, "refund", nil); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() {
		ended <- serve(ctx, &http.Server{Handler: nethttpaudit.Middleware(rec, signedIn("alice"))(refund)}, l, rec)
	}()
	response, err := http.Post("http://"+l.Addr().String()+"/refund", "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
	fmt.Println(response.Status, <-ended, rec.Stats().Stored, "stored")
	// Output: 200 OK <nil> 1 stored
}
