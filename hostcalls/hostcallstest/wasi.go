package hostcallstest

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

// files gives the tenant a folder of two files.
func (*env) files(tn *hostcalls.Tenant, _ *hostcalls.Request) {
	tn.Files = fstest.MapFS{
		"hello.txt":    {Data: []byte("hello, file"), ModTime: time.Unix(1_700_000_000, 0)},
		"sub/deep.txt": {Data: []byte("deep")},
	}
}

// cgi is a request to the program's path.
func cgi(info string) hostcalls.Request {
	return hostcalls.Request{Path: "/prog.wasm" + info, Module: "prog.wasm", Info: info}
}

// wasiTests are the tests of WASI preview 1.
func wasiTests() []test {
	text := http.Header{"Content-Type": {"text/plain"}}
	echo := cgi("/echo")
	echo.Method, echo.Path, echo.Body = "POST", "/prog.wasm/echo?a=b&c=%20", []byte("the body")
	echo.Header = http.Header{
		"X-Many": {"one", "two"}, "Cookie": {"a=1", "b=2"}, "Proxy": {"http://evil.example"}, "Content-Type": {"text/x-body"},
		"Fastly-Client-Ip": {"6.6.6.6"}, "X-Fastly-Client-Ip": {"6.6.6.6"}, "X-Forwarded-For": {"6.6.6.6"}, "X-Real-Ip": {"6.6.6.6"},
	}
	rust := hostcalls.Request{Method: "PUT", Module: "rust.wasm", Body: []byte("body")}
	rustPanic := rust
	rustPanic.Body = []byte("panic")
	return []test{
		{name: "WASI C: environment and stdin", guest: "wasi-c", req: echo, code: http.StatusCreated,
			setup: func(_ *env, tn *hostcalls.Tenant, _ *hostcalls.Request) {
				tn.Env = map[string]string{"GREETING": "hello", "REQUEST_METHOD": "forged", "HTTPS": "off"}
			},
			header: http.Header{"Content-Type": {"text/plain"}, "Set-Cookie": {"a=1", "b=2"}, "Content-Length": nil, "Status": nil},
			logs:   []string{"WARN to the log", "WARN unfinished"},
			body: "1 prog.wasm\nREQUEST_METHOD=POST\nQUERY_STRING=a=b&c=%20\nPATH_INFO=/echo\nSCRIPT_NAME=/prog.wasm\n" +
				"SERVER_NAME=kit.example\nSERVER_PORT=443\nREMOTE_ADDR=192.0.2.99\nHTTPS=on\nCONTENT_LENGTH=8\nCONTENT_TYPE=text/x-body\n" +
				"HTTP_X_MANY=one, two\nHTTP_COOKIE=a=1; b=2\nHTTP_PROXY=(none)\nHTTP_FASTLY_CLIENT_IP=192.0.2.99\n" +
				"HTTP_X_FASTLY_CLIENT_IP=(none)\nHTTP_X_FORWARDED_FOR=(none)\nHTTP_X_REAL_IP=(none)\nGREETING=hello\nGATEWAY_INTERFACE=CGI/1.1\n8 the body\n"},
		{name: "WASI C: files", guest: "wasi-c", req: cgi("/files"), setup: (*env).files, body: "ok", header: text},
		{name: "WASI C: no files", guest: "wasi-c", req: cgi("/nofiles"), body: "ok"},
		{name: "WASI C: clocks", guest: "wasi-c", req: cgi("/clocks"), body: "ok"},
		{name: "WASI C: redirect", guest: "wasi-c", req: cgi("/redirect"), code: http.StatusFound, header: http.Header{"Location": {"https://example.com/"}}},
		{name: "WASI C: no header", guest: "wasi-c", req: cgi("/garbage"), code: http.StatusInternalServerError, logs: []string{"Content-Type: text/plain"}},
		{name: "WASI C: control character", guest: "wasi-c", req: cgi("/split"), code: http.StatusInternalServerError, header: http.Header{"X-A": nil}},
		{name: "WASI C: bad code", guest: "wasi-c", req: cgi("/code"), code: http.StatusInternalServerError, logs: []string{"\"99\" is no status"}},
		{name: "WASI C: nothing", guest: "wasi-c", req: cgi("/nothing"), code: http.StatusInternalServerError},
		{name: "WASI C: exit 0", guest: "wasi-c", req: cgi("/exit0"), body: "ok"},
		{name: "WASI C: exit 3", guest: "wasi-c", req: cgi("/exit3"), trap: "exit status 3"},
		{name: "WASI C: flood", guest: "wasi-c", req: cgi("/flood"), trap: "exit status 4", logs: []string{"more than the limit of 1000000 bytes"},
			setup: func(_ *env, tn *hostcalls.Tenant, _ *hostcalls.Request) { tn.Limits.ResponseBody = 1_000_000 }},
		{name: "WASI C: answers by hostcalls", guest: "wasi-c", req: cgi("/hostcalls"), code: http.StatusAccepted, body: "by hostcall", logs: []string{"INFO printed"}},
		{name: "WASI C: answers nothing by hostcalls", guest: "wasi-c", req: cgi("/empty")},
		{name: "WASI Rust", guest: "wasi-rust", req: rust, setup: (*env).files, header: text, logs: []string{"WARN rust on stderr"},
			body: `PUT rust.wasm body ["hello.txt", "sub"] hello, file`},
		{name: "WASI Rust: panic", guest: "wasi-rust", req: rustPanic, setup: (*env).files, trap: "unreachable", logs: []string{"on demand"}},
		{name: "WASI Go", guest: "go", setup: (*env).files, code: http.StatusNonAuthoritativeInfo, header: text, logs: []string{"WARN go on stderr"},
			req:  hostcalls.Request{Method: "POST", Path: "/?q=1", Module: "index.wasm", Body: []byte("gopher")},
			body: "POST q=1 gopher hello, file 2"},
		{name: "run with WASI", guest: "mixed", body: "mixed", logs: []string{"INFO printed by nobody", "WARN half a line"}},
	}
}

// goGuest builds the guest in Go, which is too large to be kept.
func goGuest(t testing.TB) []byte {
	_, self, _, ok := runtime.Caller(0)
	if !ok || testing.Short() {
		t.Skip("the guest in Go is not built in short tests")
	}
	wasm := filepath.Join(t.TempDir(), "go.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", wasm, ".")
	cmd.Dir = filepath.Join(filepath.Dir(self), "guests", "gocgi")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	b, err := os.ReadFile(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
