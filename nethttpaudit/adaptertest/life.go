package adaptertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// lifeCases: when a request counts, and what is left of it.
var lifeCases = []adapterCase{
	{name: "the client is gone", run: clientGone},
	{name: "the client is gone before the session was read", run: clientGoneBeforeSession},
	{name: "use after the request", run: afterRequest},
	{name: "the handler panics", run: handlerPanics},
	{name: "Detach", run: detach},
	{name: "Detach keeps an error", run: detachError},
	{name: "no middleware", run: noMiddleware},
	{name: "nil recorder", run: nilRecorder},
	{name: "upload files are removed", run: uploadsRemoved},
}

// abandoned sends r, and leaves as soon as the handler has been entered. handle
// runs when the server has noticed.
func (s *site) abandoned(r *http.Request, handle func(*Call)) {
	s.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	r = r.WithContext(ctx)
	v := s.expect(r, func(c *Call) {
		leave()
		<-c.Request.Context().Done()
		handle(c)
	})
	if response, err := s.client.Do(r); err == nil {
		response.Body.Close()
		s.t.Error("the visitor got an answer")
	}
	<-v.done
}

func clientGone(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), cookieStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	s.abandoned(s.request("/x"), func(c *Call) {
		wantNil(t, c.Audit("refund", nil))
		wantNil(t, core.Audit(c.Request.Context(), "by the context", nil))
		if c.Request.Context().Err() == nil {
			t.Error("the handler's own context lost its cancellation")
		}
	})
	wantUser(t, rec, "refund", "alice")
	wantUser(t, rec, "by the context", "alice")
}

func clientGoneBeforeSession(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	store.failWith(func(r *http.Request) error { return r.Context().Err() })
	s.abandoned(s.request("/x"), func(c *Call) {
		if _, err := store.Get(c.Request, sessionName); !errors.Is(err, context.Canceled) {
			t.Errorf("the handler's own read: %v", err)
		}
		wantNil(t, c.Audit("refund", nil))
	})
	wantUser(t, rec, "refund", "alice")
}

func afterRequest(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	var used, unused context.Context
	s.get("/used", func(c *Call) {
		wantNil(t, c.Audit("within", nil))
		used = c.Request.Context()
	})
	s.get("/unused", func(c *Call) { unused = context.WithoutCancel(c.Request.Context()) })
	rec.Reset()
	for _, ctx := range []context.Context{used, unused} {
		wantError(t, core.Audit(ctx, "refund", nil), core.ErrRequestOver)
		wantError(t, core.Audit(core.Detach(ctx), "refund", nil), core.ErrRequestOver)
	}
	wantNothing(t, rec)
	// Whoever names the user needs no lookup, and the facts are still known.
	wantNil(t, core.Audit(used, "refund", nil, core.As("alice")))
	if r := rec.Last("refund").Request; r == nil || r.Path != "/used" || r.IP != "127.0.0.1" || r.Host != "127.0.0.1" {
		t.Errorf("request %+v", r)
	}
	wantNil(t, core.Audit(unused, "refund", nil, core.As("alice")))
	if r := rec.Last("refund").Request; r == nil || r.Path != "/unused" || r.IP != "127.0.0.1" || r.Method != http.MethodGet {
		t.Errorf("request %+v", r)
	}
}

func handlerPanics(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	var ctx context.Context
	r := s.request("/x")
	v := s.expect(r, func(c *Call) {
		ctx = c.Request.Context()
		wantNil(t, c.Audit("before", nil))
		panic("the handler's own")
	})
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	<-v.done
	if response.StatusCode != http.StatusInternalServerError || !bytes.Contains(body, []byte("the handler's own")) {
		t.Errorf("%s %q: the panic did not reach the layers outside", response.Status, body)
	}
	wantUser(t, rec, "before", "alice")
	wantError(t, core.Audit(ctx, "after", nil), core.ErrRequestOver)
}

func detach(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	setup := bySession(rec, store)
	setup.Inner = func(r *http.Request) *http.Request { return withUser(r, "a value") }
	s := newSite(t, a, setup)
	s.signIn(store, "alice")
	var detached []context.Context
	var afterOut context.Context
	s.abandoned(s.request("/export"), func(c *Call) {
		detached = append(detached, c.Detach())
		for _, ctx := range c.Contexts {
			detached = append(detached, core.Detach(ctx))
		}
		c.change(t, store, func(values map[any]any) { clear(values) })
		afterOut = c.Detach()
	})
	for _, ctx := range detached {
		rec.Reset()
		if ctx.Err() != nil {
			t.Errorf("the detached context has ended: %v", ctx.Err())
		}
		if v := ctx.Value(userKey{}); v != "a value" {
			t.Errorf("value %v, want the request's", v)
		}
		wantNil(t, core.Audit(ctx, "exported", nil))
		wantUser(t, rec, "exported", "alice")
		if r := rec.Last("exported").Request; r == nil || r.Path != "/export" || r.UserAgent == "" {
			t.Errorf("request %+v", r)
		}
	}
	rec.Reset()
	wantNil(t, core.Audit(afterOut, "exported", nil))
	wantNothing(t, rec)
	wantNil(t, core.Audit(afterOut, "exported", nil, core.As("cron")))
	wantUser(t, rec, "exported", "cron")
}

func detachError(t *testing.T, a Adapter) {
	rec, down := audittest.New(t), errors.New("directory is down")
	s := newSite(t, a, Setup{Recorder: rec.Recorder(), User: func(*http.Request) (string, error) { return "", down }})
	var ctx context.Context
	s.get("/x", func(c *Call) { ctx = c.Detach() })
	wantError(t, core.Audit(ctx, "refund", nil), down)
	wantNothing(t, rec)
}

func noMiddleware(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{NoMiddleware: true})
	err := s.audited("/x", "refund", core.As("alice"))
	wantError(t, err, core.ErrNoRecorder)
	wantText(t, err, "Middleware", "SetDefault")
	s.get("/x", func(c *Call) {
		wantError(t, core.Audit(c.Request.Context(), "refund", nil), core.ErrNoRecorder)
		wantError(t, core.Audit(c.Detach(), "refund", nil, core.As("alice")), core.ErrNoRecorder)
	})
	setDefault(t, rec.Recorder())
	wantNil(t, s.audited("/x", "refund"))
	wantNothing(t, rec)
	r := s.request("/some/path?q=1")
	r.Host = "[::1]:5000"
	r.Header.Set("X-Forwarded-For", "203.0.113.7")
	got := s.asked(rec, r)
	if got.Path != "/some/path" || got.Host != "::1" || got.IP != "203.0.113.7" || got.Peer != "127.0.0.1" {
		t.Errorf("request %+v", got)
	}
	rec.Reset()
	var detached context.Context
	s.get("/export", func(c *Call) { detached = c.Detach() })
	wantNil(t, core.Audit(detached, "exported", nil, core.As("alice")))
	if e := rec.Last("exported"); e.Request == nil || e.Request.Path != "/export" {
		t.Errorf("%+v", e)
	}
}

func nilRecorder(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, Setup{SessionUsers: []SessionUser{{Store: store, Name: sessionName}}})
	s.signIn(store, "alice")
	err := s.audited("/x", "refund")
	wantError(t, err, core.ErrNoRecorder)
	wantText(t, err, "nil")
	s.get("/x", func(c *Call) {
		for _, ctx := range c.Contexts {
			wantError(t, core.Audit(ctx, "refund", nil), core.ErrNoRecorder)
		}
	})
	wantNothing(t, rec)
	setDefault(t, rec.Recorder())
	wantNil(t, s.audited("/x", "refund"))
	wantUser(t, rec, "refund", "alice")
}

// uploadsRemoved: the server removes an upload's files by the request that
// arrived, not by the copy that the handlers got.
func uploadsRemoved(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	s := newSite(t, a, Setup{Recorder: rec.Recorder()})
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "upload.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, s.server.URL+"/upload", &body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	var path string
	s.send(s.client, r, func(c *Call) {
		if err := c.Request.ParseMultipartForm(1); err != nil {
			t.Error(err)
			return
		}
		f, err := c.Request.MultipartForm.File["file"][0].Open()
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if onDisk, ok := f.(*os.File); ok {
			path = onDisk.Name()
		}
	})
	if path == "" {
		t.Fatal("the upload was not written to a file")
	}
	// The next request of this connection begins when the server is through with that one.
	s.get("/next", func(*Call) {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the upload's file is still there: %v", err)
			os.Remove(path)
		}
	})
}
