package wazeroengine_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/component/toolchain"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// answers runs a component of a toolchain: answer is its response to a request.
func answers(t *testing.T, wasm []byte) (answer func(*hostcalls.Request) (hostcalls.Response, error)) {
	t.Helper()
	e := newEngine(t, wazeroengine.Options{Funcs: append(hostcalls.Functions(), wasi.Functions()...)})
	m, err := e.Compile(t.Context(), wasm, engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(m.Close(context.Background()), e.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return func(r *hostcalls.Request) (hostcalls.Response, error) {
		r.Scheme, r.Host, r.Header = "https", "a.test", http.Header{}
		x := hostcalls.NewExchange(&hostcalls.Tenant{}, r)
		defer x.Close()
		err := m.Run(t.Context(), x)
		out := *x.Response()
		out.Header, out.Body = out.Header.Clone(), slices.Clone(out.Body)
		return out, err
	}
}

// TestJavaScript answers requests by a component of componentize-js, which is recycled between them.
func TestJavaScript(t *testing.T) {
	answer := answers(t, toolchain.JavaScript(t, toolchain.Hello))
	for _, path := range []string{"/", "/a/b", "/" + strings.Repeat("long", 500)} {
		r, err := answer(&hostcalls.Request{Method: "GET", Path: path})
		if got := string(r.Body); err != nil || r.Code != http.StatusOK || got != "hello "+path {
			t.Errorf("%.20s: %d %q, %v", path, r.Code, got, err)
		}
	}
}

// TestCommand answers requests by a component that exports wasi:cli/run, as a CGI program.
func TestCommand(t *testing.T) {
	core := filepath.Join(t.TempDir(), "command.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", core, "./testdata/command")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	wasm, err := os.ReadFile(core)
	if err != nil {
		t.Fatal(err)
	}
	answer := answers(t, toolchain.Command(t, wasm))
	for _, body := range []string{"one", "two"} {
		r, err := answer(&hostcalls.Request{Method: "POST", Path: "/p?a=b", Body: []byte(body)})
		if got := string(r.Body); err != nil || r.Code != http.StatusCreated || r.Header.Get("Content-Type") != "text/plain" || got != "POST a=b "+body {
			t.Errorf("%s: %d %v %q, %v", body, r.Code, r.Header, got, err)
		}
	}
	if _, err := answer(&hostcalls.Request{Method: "POST", Path: "/", Body: []byte("fail")}); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("a program that fails: %v", err) // the adapter knows success and failure alone
	}
}
