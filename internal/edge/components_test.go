package edge_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/engine/component/toolchain"
)

// TestComponentInC copies a component into a folder, as a user does with cp, and asks it over HTTPS.
func TestComponentInC(t *testing.T) {
	e := edgetest.Start(t, nil)
	ask := copyComponent(t, e, edgetest.File(t, "internal/engine/component/testdata/http-c/hello.wasm"))
	ask(http.MethodGet, "/a%20b?c=d", "", "text/plain", "hello /a%20b?c=d\n")
	ask(http.MethodPost, "/", strings.Repeat("unread", 50_000), "text/plain", "hello /\n")

	// What an edge does not take leaves the last release live, with the reason.
	e.Deploy("alice", map[string][]byte{"index.wasm": edgetest.File(t, "internal/engine/component/testdata/http-c/hello.wasm")[:4000]})
	if got := e.Refusal("alice.example"); !strings.Contains(got, "index.wasm: component: ") {
		t.Errorf("half a component: refused for %q", got)
	}
	ask(http.MethodGet, "/", "", "text/plain", "hello /\n")
}

// TestComponentInJavaScript is the same with a component of componentize-js that reads headers and body, and keeps state.
func TestComponentInJavaScript(t *testing.T) {
	wasm := toolchain.JavaScriptProject(t)
	e := edgetest.Start(t, func(c *config.Config) { c.Limits.CPU = config.Default().Limits.CPU })
	ask := copyComponent(t, e, wasm)
	ask(http.MethodGet, "/?name=you", "", "text/plain; charset=utf-8", "Hello, you from JavaScript!\n")
	ask(http.MethodPost, "/", "Jürgen & co", "text/plain; charset=utf-8", "Hello, Jürgen & co from JavaScript!\n")
	for _, want := range []string{"1\n", "2\n", "3\n"} {
		ask(http.MethodGet, "/visits", "", "text/plain; charset=utf-8", want)
	}
	if got, err := e.State("/sites/alice", true).Get(t.Context(), "visits"); err != nil || string(got.Value) != "3" {
		t.Errorf("the tenant's state has %q, %v", got.Value, err)
	}
}

// copyComponent writes a component into the folder of alice.example, waits until it is live, and returns
// what sends a request to it and expects a content type and a body.
func copyComponent(t *testing.T, e *edgetest.Edge, wasm []byte) func(method, path, body, kind, want string) {
	t.Helper()
	e.Domain("alice.example", "terrane=/sites/alice/")
	folder := filepath.Join(e.Dir, "alice")
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "index.wasm"), wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	e.Await("the release", func() bool {
		now, _ := e.Syncer.Tenant("/sites/alice")
		if now.Refused != nil {
			t.Fatalf("refused: %+v", now.Refused)
		}
		return now.Live != nil
	})
	_, secure := e.Server.Addrs()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.Authority.RootPEM())
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, secure[0].String())
		},
	}}
	t.Cleanup(client.CloseIdleConnections)
	return func(method, path, body, kind, want string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "https://alice.example"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != kind || string(got) != want {
			t.Errorf("%s %s: %d %s %q, %v; want 200 %s %q", method, path, resp.StatusCode, resp.Header.Get("Content-Type"), got, err, kind, want)
		}
	}
}
