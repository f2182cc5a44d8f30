// Package terrane is what a guest in Go can ask of terrane beyond its own request:
// the tenant's key-value store, outbound requests, messages, logs.
//
// The guest itself is a CGI program: it reads its request from the environment
// (os.Getenv("REQUEST_METHOD"), "QUERY_STRING", "PATH_INFO", "HTTP_ACCEPT"...) and
// from os.Stdin, and writes a header, an empty line and the body to os.Stdout.
// Output over the limit is an error of os.Stdout, and the answer is then 500.
// Build it with GOOS=wasip1 GOARCH=wasm, Go 1.24 or later.
//
// Each request runs in an instance of its own: variables do not outlive it, and the
// KV functions are what does.
package terrane
