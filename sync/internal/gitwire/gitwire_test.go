package gitwire

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/terrane/terrane/sync/internal/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	one  = "1111111111111111111111111111111111111111"
	main = "refs/heads/main"
)

func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

func isMain(name string) bool { return name == main }

func prepared(t *testing.T, o Options) *Remote {
	t.Helper()
	r, err := New(o)
	if err == nil {
		err = r.Prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Rest)
	return r
}

// server is a hostile one. Its parts write what they like until the client leaves.
type server struct {
	refs, pack func(w io.Writer) // nil: one branch; an empty answer
}

func (s *server) list(w io.Writer) {
	if s.refs != nil {
		s.refs(w)
		return
	}
	_, _ = io.WriteString(w, pkt(one+" "+main+"\x00side-band-64k ofs-delta\n")+"0000")
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = flushed{w}
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, _ = io.WriteString(w, pkt("# service=git-upload-pack\n")+"0000")
		s.list(w)
		return
	}
	if s.pack != nil {
		s.pack(w)
	}
}

type flushed struct{ http.ResponseWriter }

func (f flushed) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

// overHTTP and overSSH start the server and return options for it.
func (s *server) overHTTP(t *testing.T) Options {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return Options{URL: srv.URL + "/x"}
}

func (s *server) overSSH(t *testing.T) Options {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return &ssh.Permissions{}, nil }}
	config.AddHostKey(signer)
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.talkSSH(conn, config) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := Options{URL: "ssh://git@" + ln.Addr().String() + "/x", Auth: Auth{SSHKey: filepath.Join(dir, "key"), KnownHosts: filepath.Join(dir, "hosts")}}
	line := knownhosts.Line([]string{ln.Addr().String()}, signer.PublicKey())
	if err := errors.Join(os.WriteFile(o.Auth.SSHKey, pem.EncodeToMemory(block), 0o600), os.WriteFile(o.Auth.KnownHosts, []byte(line+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	return o
}

func (s *server) talkSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close() //nolint:errcheck // a test
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { ssh.DiscardRequests(requests) })
	for c := range channels {
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		all.Go(func() {
			for r := range requests {
				_ = r.Reply(r.Type == "exec", nil)
			}
		})
		s.list(ch)
		if s.pack != nil {
			s.pack(ch)
		}
		_ = ch.Close()
	}
}

// endless repeats a text until the client has left.
func endless(start, text string) func(io.Writer) {
	many := []byte(strings.Repeat(text, 1+(1<<15)/len(text)))
	return func(w io.Writer) {
		_, err := io.WriteString(w, start)
		for err == nil {
			_, err = w.Write(many)
		}
	}
}

// TestEndlessRefs: a listing without end is cut off, and takes no memory until then.
func TestEndlessRefs(t *testing.T) {
	s := &server{refs: endless(pkt(one+" HEAD\x00side-band-64k\n"), pkt(one+" refs/heads/"+strings.Repeat("x", 100)+"\n"))}
	for name, o := range map[string]Options{"http": s.overHTTP(t), "ssh": s.overSSH(t)} {
		t.Run(name, func(t *testing.T) {
			most := int64(defaultMaxRefs)
			if name == "ssh" { // which takes longer, by ciphers
				o.MaxRefs, most = 8<<20, 8<<20
			}
			r := prepared(t, o)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := r.List(t.Context(), isMain)
			runtime.ReadMemStats(&after)
			want := fmt.Sprintf("%s lists more than %d bytes of references, which is the bound", r.name(), most)
			if !errors.Is(err, origin.ErrRefused) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 6<<20 {
				t.Errorf("the listing took %d bytes of memory", grown)
			}
		})
	}
}

// TestWantedRefs: branches that would be followed are bounded in number.
func TestWantedRefs(t *testing.T) {
	s := &server{refs: func(w io.Writer) {
		var b bytes.Buffer
		b.WriteString(pkt(one + " HEAD\x00x\n"))
		for i := range maxKept + 1 {
			b.WriteString(pkt(fmt.Sprintf("%s refs/heads/preview/%d\n", one, i)))
		}
		b.WriteString("0000")
		_, _ = w.Write(b.Bytes())
	}}
	r := prepared(t, s.overHTTP(t))
	_, err := r.List(t.Context(), func(n string) bool { return strings.HasPrefix(n, "refs/heads/preview/") })
	if !errors.Is(err, origin.ErrRefused) || !strings.Contains(err.Error(), "more than 10000 branches") {
		t.Errorf("got %v", err)
	}
}

// TestSlowRefs: so is a listing that takes for ever, also where nothing comes at all.
func TestSlowRefs(t *testing.T) {
	left := make(chan struct{})
	defer close(left) // before the servers are waited for
	for name, refs := range map[string]func(io.Writer){
		"silence":    func(io.Writer) { <-left },
		"half of it": func(w io.Writer) { _, _ = io.WriteString(w, pkt(one+" HEAD\x00x\n")); <-left },
	} {
		s := &server{refs: refs}
		for way, o := range map[string]Options{"http": s.overHTTP(t), "ssh": s.overSSH(t)} {
			o.RefsTime = 300 * time.Millisecond
			r := prepared(t, o)
			_, err := r.List(t.Context(), isMain)
			want := r.name() + " did not list its references within 300ms, which is the bound"
			if err == nil || err.Error() != want {
				t.Errorf("%s over %s: got %v, want %q", name, way, err, want)
			}
		}
	}
}

// TestEndlessPack: so is everything behind the listing.
func TestEndlessPack(t *testing.T) {
	for name, tt := range map[string]struct {
		pack func(io.Writer)
		want string
	}{
		"acknowledgements": {endless("", pkt("ACK "+one+"\n")), "acknowledges without end"},
		"progress":         {endless(pkt("NAK\n"), pkt("\x02counting objects\n")), "sends more than 1048576 bytes for one fetch"},
		"data":             {endless(pkt("NAK\n"), pkt("\x01PACK")), "sends more than 1048576 bytes for one fetch"},
		"no side band":     {endless(pkt("NAK\n"), pkt("\x07")), "is no side band"},
		"words":            {endless(pkt("NAK\n")+pkt("\x03"+"out of memory\x1b[2J\n"), "0000"), "the origin says: out of memory"},
		"an error":         {endless(pkt("ERR access denied"), "0000"), "the origin says: access denied"},
		"no protocol":      {endless("<html>", "<p>"), "no length of a line"},
	} {
		s := &server{pack: tt.pack}
		for way, o := range map[string]Options{"http": s.overHTTP(t), "ssh": s.overSSH(t)} {
			t.Run(name+" over "+way, func(t *testing.T) {
				o.MaxPack = 1 << 20
				r := prepared(t, o)
				_, err := r.Fetch(t.Context(), main, nil, func(plumbing.Hash) bool { return false }, func(pack io.Reader) error {
					_, err := io.Copy(io.Discard, pack)
					return err
				})
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			})
		}
	}
}

// TestWithin: what is connected to lies below the prefix, however the tenant's name is
// spelled. Nothing that this package takes apart may be read in another way.
func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		within, url string
		ok          bool
	}{
		{"https://h/tenants/", "https://h/tenants/a", true},
		{"https://h:8443/tenants/", "https://h:8443/tenants/a/b", true},
		{"https://", "https://other.example/x", true},
		{"git@h:tenants/", "git@h:tenants/a", true},
		{"git@h:", "git@h:a", true},
		{"https://h/tenants/", "https://h/tenants/%2e%2e/private", false},
		{"https://h/tenants/", "https://h/tenants/..%2fprivate", false},
		{"https://h/tenants/", "https://h/tenants/../private", false},
		{"https://h/tenants/", "https://h/tenants/a?/../../x", false},
		{"https://h/tenants/", "https://h/tenants/a#b", false},
		{"https://h/tenants/", "https://h/private/a", false},
		{"https://h/", "https://h@other/a", false},
		{"https://h/", "https://h:443@other/a", false},
		{"https://h/", "https://h.other/a", false},
		{"https://", "http://h/a", false},
		{"https://", "file:///etc", false},
		{"https://", "https://u:p@h/a", false},
		{"git@h:", "git@h:2222:a", false},
		{"git@h:", "git@h:/etc", false},
		{"git@h:tenants/", "git@h:tenants/../private", false},
		{"git@h:", "ssh://git@h/a", false},
	} {
		if _, err := New(Options{URL: tt.url, Within: tt.within}); (err == nil) != tt.ok {
			t.Errorf("%s within %s: %v", tt.url, tt.within, err)
		}
	}
}

// TestRedirects: credentials stay where they were configured for.
func TestRedirects(t *testing.T) {
	var seen atomic.Pointer[http.Request] // by the other repository
	var to atomic.Pointer[string]
	handler := func(w http.ResponseWriter, r *http.Request) {
		if to := to.Load(); strings.HasPrefix(r.URL.Path, "/tenants/a/") && to != nil {
			http.Redirect(w, r, *to, http.StatusFound)
			return
		}
		seen.Store(r)
		(&server{}).ServeHTTP(w, r)
	}
	home, other := httptest.NewServer(http.HandlerFunc(handler)), httptest.NewServer(http.HandlerFunc(handler))
	t.Cleanup(home.Close)
	t.Cleanup(other.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, to string
		token    bool
		ok       bool
	}{
		{"none", "", true, true},
		{"its other name", home.URL + "/tenants/a.git/info/refs?service=git-upload-pack", true, true},
		{"another repository", home.URL + "/private/x/info/refs?service=git-upload-pack", true, false},
		{"a name that begins so", home.URL + "/tenants/a-private/info/refs?service=git-upload-pack", true, false},
		{"another repository, by dots", home.URL + "/tenants/a/../../private/x/info/refs?service=git-upload-pack", true, false},
		{"another repository, by escaped dots", home.URL + "/tenants/a/%2e%2e/%2e%2e/private/x/info/refs?service=git-upload-pack", true, false},
		{"another host", other.URL + "/tenants/a.git/info/refs?service=git-upload-pack", true, false},
		{"with a user", strings.Replace(home.URL, "http://", "http://u@", 1) + "/tenants/a.git/info/refs?service=git-upload-pack", true, false},
		{"another host, without credentials", other.URL + "/b/info/refs?service=git-upload-pack", false, true},
		{"a file", "file:///etc/info/refs", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{URL: home.URL + "/tenants/a"}
			if tt.token {
				o.Auth.TokenFile = token
			}
			to.Store(&tt.to)
			if tt.to == "" {
				to.Store(nil)
			}
			seen.Store(nil)
			refs, err := prepared(t, o).List(t.Context(), isMain)
			if ok := err == nil && refs.At[main].String() == one; ok != tt.ok {
				t.Errorf("got %+v, %v", refs, err)
			}
			switch r := seen.Load(); {
			case !tt.ok && r != nil:
				t.Errorf("%s%s was asked", r.Host, r.URL)
			case tt.ok && tt.token:
				if _, password, _ := r.BasicAuth(); password != "secret" {
					t.Error("the token was not sent")
				}
			}
		})
	}
}

// TestScope: redirects of tenants' own repositories stay below the prefix.
func TestScope(t *testing.T) {
	for _, tt := range []struct {
		within, of, to string
		ok             bool
	}{
		{"https://h/tenants/", "https://h/tenants/a", "https://h/tenants/a.git/info/refs", true},
		{"https://h/tenants/", "https://h/tenants/a", "https://h/private/info/refs", false},
		{"https://h/tenants/", "https://h/tenants/a", "https://h/tenants/%2e%2e/private/info/refs", false},
		{"https://h/tenants/", "https://h/tenants/a", "https://h/tenants/../private/info/refs", false},
		{"https://h/tenants/", "https://h/tenants/a", "https://h/tenants//private/info/refs", false},
		{"https://h/tenants/", "https://h/tenants/a", "https://h:444/tenants/a/info/refs", false},
		{"https://h/tenants/", "https://h/tenants/a", "https://x@h/tenants/a/info/refs", false},
		{"https://h/tenants/", "https://h/tenants/a", "https://h.evil/tenants/a/info/refs", false},
		{"https://", "https://h/a", "https://other/b/info/refs", true},
		{"https://", "https://h/a", "http://127.0.0.1/b/info/refs", false},
		{"", "http://h/a", "https://h/a/info/refs", true},
		{"", "https://h/a.git", "https://h/a/info/refs", true},
		{"", "https://h/a", "https://h/ab/info/refs", false},
	} {
		r, err := New(Options{URL: tt.of, Within: tt.within})
		if err != nil {
			t.Fatal(err)
		}
		to, err := url.Parse(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.inScope(to); got != tt.ok {
			t.Errorf("from %s to %s within %q: %v", tt.of, tt.to, tt.within, got)
		}
	}
}

// TestQuote: a path is one argument, whatever is in it.
func TestQuote(t *testing.T) {
	if got, want := quote("a'; id; 'b!"), `'a'\''; id; '\''b'\!''`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCancelled: a client that leaves waits for nobody.
func TestCancelled(t *testing.T) {
	left := make(chan struct{})
	defer close(left) // before the servers are waited for
	came := make(chan struct{}, 2)
	s := &server{refs: func(io.Writer) { came <- struct{}{}; <-left }}
	for way, o := range map[string]Options{"http": s.overHTTP(t), "ssh": s.overSSH(t)} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-came; cancel() }()
		if _, err := prepared(t, o).List(ctx, isMain); err == nil || strings.Contains(err.Error(), "bound") {
			t.Errorf("over %s: %v", way, err)
		}
	}
}

func FuzzRefs(f *testing.F) {
	f.Add([]byte(pkt(one+" HEAD\x00side-band-64k\n") + pkt(one+" "+main+"\n") + pkt("shallow "+one+"\n") + "0000"))
	f.Add([]byte("0000"))
	f.Fuzz(func(t *testing.T, in []byte) {
		refs, err := readRefs(bytes.NewReader(in), isMain)
		if err == nil && len(refs.At) > 1 {
			t.Errorf("%d references are wanted", len(refs.At))
		}
		if body, err := packOf(bytes.NewReader(in), true); err == nil {
			_, _ = io.Copy(io.Discard, body)
		}
	})
}
