package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

func TestLocal(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-A", "b")
			w.WriteHeader(http.StatusAccepted)
			w.Header().Set("X-Late", "b")
			_, _ = fmt.Fprintf(w, "%s %s %s %s %v", r.Method, r.RequestURI, r.Host, body, r.TLS != nil)
		case "/redirect":
			http.Redirect(w, r, "/echo", http.StatusSeeOther)
		case "/endless":
			for err := error(nil); err == nil; _, err = w.Write(make([]byte, 1000)) {
			}
		case "/hang":
			_, _ = w.Write(make([]byte, 5000))
			<-r.Context().Done()
		case "/wait":
			<-r.Context().Done()
		case "/abort":
			_, _ = fmt.Fprint(w, "half")
			panic(http.ErrAbortHandler)
		case "/panic":
			panic(http.ErrAbortHandler)
		}
	})
	c, err := New(Options{Local: func(u *url.URL) http.Handler {
		if u.Hostname() == "own.example" || u.Hostname() == "other.example" {
			return h
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fetch := func(ctx context.Context, path string) (*hostcalls.FetchResponse, string, error) {
		resp, err := c.Fetch(ctx, &hostcalls.FetchRequest{
			Method: "POST", URL: mustParse("https://own.example" + path), Body: []byte("body"), Host: "other.example",
		})
		if err != nil {
			return nil, "", err
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, 5000))
		return resp, string(body), errors.Join(err, resp.Body.Close())
	}
	resp, body, err := fetch(t.Context(), "/echo?a=b")
	if err != nil || body != "POST /echo?a=b other.example body true" || resp.Code != http.StatusAccepted ||
		resp.Header.Get("X-A") != "b" || resp.Header.Get("X-Late") != "" {
		t.Errorf("echo: %+v %q %v", resp, body, err)
	}
	if _, body, err := fetch(t.Context(), "/redirect"); err != nil || !strings.HasPrefix(body, "GET /echo") {
		t.Errorf("redirect: %q %v", body, err)
	}
	for _, path := range []string{"/endless", "/hang"} {
		if _, body, err := fetch(t.Context(), path); err != nil || len(body) != 5000 {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
	}
	if resp, _, err := fetch(t.Context(), "/nothing"); err != nil || resp.Code != http.StatusOK {
		t.Errorf("nothing: %+v %v", resp, err)
	}
	if _, _, err := fetch(t.Context(), "/abort"); err == nil {
		t.Error("abort: a body cut short went through")
	}
	if resp, _, err := fetch(t.Context(), "/panic"); err == nil || resp != nil && resp.Code == http.StatusOK {
		t.Errorf("panic: %+v %v", resp, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := fetch(ctx, "/wait"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait: %v", err)
	}
	if _, err := get(c, t.Context(), "http://127.0.0.1/"); !isRefusal(err) {
		t.Errorf("another host: %v", err)
	}
}
