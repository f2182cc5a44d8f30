package wazeroengine_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/component/toolchain"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// TestJavaScript answers requests by a component of componentize-js, which is recycled between them.
func TestJavaScript(t *testing.T) {
	wasm := toolchain.JavaScript(t, toolchain.Hello)
	e := newEngine(t, wazeroengine.Options{Funcs: append(hostcalls.Functions(), wasi.Functions()...)})
	defer func() {
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	m, err := e.Compile(t.Context(), wasm, engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for _, path := range []string{"/", "/a/b", "/" + strings.Repeat("long", 500)} {
		x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{Method: "GET", Scheme: "https", Host: "a.test", Path: path, Header: http.Header{}})
		err := m.Run(t.Context(), x)
		r := x.Response()
		if got := string(r.Body); err != nil || r.Code != http.StatusOK || got != "hello "+path {
			t.Errorf("%.20s: %d %q, %v", path, r.Code, got, err)
		}
		x.Close()
	}
}
