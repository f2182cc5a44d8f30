package wazeroengine_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func TestHello(t *testing.T) {
	wasm, err := os.ReadFile("../../../examples/hello-wat/hello.wasm")
	if err != nil {
		t.Skip(err)
	}
	e, err := wazeroengine.New(wazeroengine.Options{Funcs: hostcalls.Functions()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(t.Context()) }()
	m, err := e.Compile(t.Context(), wasm, engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{Method: "GET", Path: "/", Header: http.Header{}})
	defer x.Close()
	if err := m.Run(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d %v %q", x.Response().Code, x.Response().Header, x.Response().Body)
}
