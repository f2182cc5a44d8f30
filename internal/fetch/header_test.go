package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// rawServer answers each connection with what answer writes, until it fails.
func rawServer(t *testing.T, answer func(w io.Writer) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_ = answer(c) // the client closes when it has enough
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// TestHeadersAreBounded: by lines and by bytes, whatever part of a response they are in,
// and in every protocol.
func TestHeadersAreBounded(t *testing.T) {
	lines := func(n int) (s strings.Builder) {
		for i := range n {
			fmt.Fprintf(&s, "a%d:\r\n", i)
		}
		return s
	}
	raw := func(head string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, head); return err }
	}
	many, most := lines(maxFields), lines(maxFields-1)
	handler := func(fields, size int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := range fields {
				w.Header()[fmt.Sprintf("A%d", i)] = []string{strings.Repeat("x", size)}
			}
			_, _ = io.WriteString(w, "ok")
		}
	}
	h2 := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/lines":
			handler(maxFields, 0)(w, r)
		case "/bytes":
			handler(2, maxHeader/2)(w, r)
		case "/interim":
			w.Header().Set("Link", strings.Repeat("x", 1000))
			for range 1000 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		case "/trailers":
			_, _ = io.WriteString(w, "ok")
			for i := range 4000 {
				w.Header()[fmt.Sprintf("%sA%d", http.TrailerPrefix, i)] = []string{"x"}
			}
		default:
			handler(9, 9)(w, r)
		}
	}))
	h2.EnableHTTP2 = true
	h2.StartTLS()
	defer h2.Close()
	c := newClient(t, Options{Roots: certificate(h2), Local: func(u *url.URL) http.Handler {
		switch u.Hostname() {
		case "lines.example":
			return handler(maxFields+1, 0)
		case "bytes.example":
			return handler(2, maxHeader/2)
		case "few.example":
			return handler(9, 9)
		}
		return nil
	}}, anyAddress)
	for _, tt := range []struct {
		name, url string
		ok        bool
	}{
		{"as many lines as may be", rawServer(t, raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"+most.String()+"\r\nok")), true},
		{"one more", rawServer(t, raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"+many.String()+"\r\nok")), false},
		{"bytes", rawServer(t, raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: "+strings.Repeat("x", maxHeader)+"\r\n\r\nok")), false},
		{"interim answers without end", rawServer(t, func(w io.Writer) (err error) {
			for err == nil {
				_, err = io.WriteString(w, "HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 1000)+"\r\n\r\n")
			}
			return err
		}), false},
		{"a long trailer", rawServer(t, func(w io.Writer) (err error) {
			_, err = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n")
			for i := 0; err == nil; i++ {
				_, err = fmt.Fprintf(w, "a%d: x\r\n", i)
			}
			return err
		}), false},
		{"HTTP/2, few", h2.URL, true},
		{"HTTP/2, lines", h2.URL + "/lines", false},
		{"HTTP/2, bytes", h2.URL + "/bytes", false},
		{"HTTP/2, interim answers", h2.URL + "/interim", false},
		{"HTTP/2, trailers", h2.URL + "/trailers", false},
		{"local, few", "http://few.example", true},
		{"local, lines", "http://lines.example", false},
		{"local, bytes", "http://bytes.example", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := get(c, t.Context(), tt.url)
			if tt.ok != (err == nil) || tt.ok && got != "ok" {
				t.Errorf("got %.20q, %v", got, err)
			}
			if f := (*failure)(nil); err != nil && !errors.As(err, &f) {
				t.Errorf("the guest is told %v", err)
			}
		})
	}
}
