package sync_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// serveTLS serves the repository by git http-backend, over TLS. It returns the file of
// the server's certificate, and the URL.
func (p *gitPlace) serveTLS(t *testing.T) (ca, url string) {
	t.Helper()
	srv := httptest.NewTLSServer(p.handler(t))
	t.Cleanup(srv.Close)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	return writeFile(t, string(cert)), srv.URL + "/origin.git"
}

// writeFile makes a file with the content and returns its path.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// TestGitTenant: a repository is mirrored once its tenant is wanted, served while its
// origin is away, and dropped when nobody wants it any more.
func TestGitTenant(t *testing.T) {
	p := newGitPlace(t)
	ca, url := p.serveTLS(t)
	prefix := strings.TrimSuffix(url, "origin.git")
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{{
		Prefix: prefix, Poll: 100 * time.Millisecond,
		GitTenant: &tenantsync.Git{CA: ca, WebhookSecret: "s"},
	}}}
	id := tenant.ID(url)
	p.Deploy(t, storetest.Tree{"i.html": "1", "sub/a.wasm": storetest.Module})

	e := storetest.Start(t, o)
	e.AwaitMirrored(t)
	if st := e.Status(); len(st.Tenants) != 0 {
		t.Errorf("mirrored before anyone wanted it: %+v", st)
	}
	e.Want("/other/tenant")
	e.Want(id)
	e.Want(tenant.ID(prefix + "nobody.git"))
	e.AwaitContent(t, id, "i.html", "1")
	p.Deploy(t, storetest.Tree{"i.html": "2", "sub/a.wasm": storetest.Module})
	e.AwaitContent(t, id, "i.html", "2")
	p.Deploy(t, storetest.Tree{"i.html": "3", "sub/a.wasm": "broken"})
	if r := e.AwaitRefusal(t, id); !strings.Contains(r.Reason, "sub/a.wasm") {
		t.Errorf("refusal %+v", r)
	}
	p.Clear(t)
	e.Await(t, "the empty repository is seen", func() bool {
		for _, st := range e.Status().Stores {
			if st.Prefix == string(id) {
				return strings.Contains(st.Error, "empty")
			}
		}
		return false
	})
	if e.Content(id, "i.html") != "2" {
		t.Error("an empty repository took its tenant down")
	}
	e.Stop(t)

	p.Down(t)
	e = storetest.Start(t, o)
	e.AwaitMirrored(t)
	if e.Content(id, "i.html") != "2" {
		t.Error("not served after a restart with the origin down")
	}
	e.Await(t, "the repository is begun", func() bool {
		st := e.Status().Stores
		return len(st) == 1 && st[0].Error != ""
	})
	e.Expire(t.Context(), time.Now().Add(25*time.Hour))
	if st := e.Status(); len(e.Live()) != 0 || len(st.Stores) != 0 {
		t.Errorf("not dropped: %v %+v", e.Live(), st)
	}
	p.Up(t)
	p.Deploy(t, storetest.Tree{"i.html": "4"})
	e.Want(id)
	e.AwaitContent(t, id, "i.html", "4")
}

// TestEscapingTenant: no name of a tenant brings the credentials, or a look, to a place
// that is not below the prefix. Names are checked where TXT records are read; here they
// come from a caller that did not.
func TestEscapingTenant(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	p := newGitPlace(t)
	git := p.handler(t)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.RequestURI)
		mu.Unlock()
		if rest, ok := strings.CutPrefix(r.URL.Path, "/tenants/"); ok {
			r.URL.Path = "/" + rest
			git.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	p.Deploy(t, storetest.Tree{"i.html": "1"})
	data, prefix := t.TempDir(), srv.URL+"/tenants/"
	e := storetest.Start(t, tenantsync.Options{Data: data, Stores: []tenantsync.Store{{
		Prefix: prefix, Poll: 50 * time.Millisecond, GitTenant: &tenantsync.Git{CA: writeFile(t, string(cert)), TokenFile: writeFile(t, "secret")},
	}}})
	var bad []tenant.ID
	for _, name := range []string{"%2e%2e/private", "..%2fprivate", "../private", "x?/../../private", "x#/../../private", "@other/private", `..\private`, "/private"} {
		bad = append(bad, tenant.ID(prefix+name))
		e.Want(bad[len(bad)-1])
	}
	good := tenant.ID(prefix + "origin.git")
	e.Want(good)
	e.AwaitContent(t, good, "i.html", "1")
	e.Await(t, "all are refused", func() bool {
		refused := 0
		for _, st := range e.Status().Stores {
			if slices.Contains(bad, tenant.ID(st.Prefix)) && strings.Contains(st.Error, "is not below") {
				refused++
			}
		}
		return refused == len(bad)
	})
	mu.Lock()
	defer mu.Unlock()
	for _, uri := range asked {
		if !strings.HasPrefix(uri, "/tenants/origin.git/") {
			t.Errorf("the origin was asked for %s", uri)
		}
	}
}
