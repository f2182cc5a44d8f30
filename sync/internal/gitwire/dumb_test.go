package gitwire

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// TestNoSmartServer: a web page and a server of files are named as such.
func TestNoSmartServer(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"init", "-q", "--bare", dir},
		{"-C", dir, "update-server-info"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	for want, handler := range map[string]http.Handler{
		"git's dumb protocol) is not supported: use git http-backend": http.FileServer(http.Dir(dir)),
		"it is a web page: is the URL that of the repository": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!DOCTYPE html><title>Sign in</title>")
		}),
	} {
		srv := httptest.NewServer(handler)
		t.Cleanup(srv.Close)
		if _, err := prepared(t, Options{URL: srv.URL}).List(t.Context(), isMain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
