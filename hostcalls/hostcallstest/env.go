package hostcallstest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/fetch"
)

// env is what stands around a host: an upstream and a DNS server.
type env struct{ t *testing.T }

func newEnv(t *testing.T) *env { return &env{t} }

// upstream lets the guest fetch, and puts the upstream's address into the request's body.
func (e *env) upstream(tn *hostcalls.Tenant, req *hostcalls.Request) {
	client, err := fetch.New(fetch.Options{AllowPrivate: true})
	if err != nil {
		e.t.Fatal(err)
	}
	srv := httptest.NewServer(upstream())
	e.t.Cleanup(func() {
		client.Close()
		srv.Close()
	})
	tn.Fetcher, req.Body = client, []byte(srv.URL)
	tn.Limits.ResponseBody = 1 << 20
}

func upstream() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["X-Many"] = r.Header["X-Many"]
		w.WriteHeader(http.StatusTeapot)
		_, _ = fmt.Fprint(w, r.Method, " ", r.RequestURI, " ", r.Host, " ", r.UserAgent(), " ", r.Header["X-Many"], " ", string(body))
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	var met sync.WaitGroup
	met.Add(2)
	mux.HandleFunc("/meet", func(w http.ResponseWriter, r *http.Request) {
		met.Done()
		met.Wait()
		_, _ = fmt.Fprint(w, r.URL.RawQuery)
	})
	mux.HandleFunc("/last", func(http.ResponseWriter, *http.Request) { met.Wait() })
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 300 {
			_, _ = w.Write(make([]byte, 10_000))
		}
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for err := error(nil); err == nil; _, err = w.Write(make([]byte, 64<<10)) {
		}
	})
	return mux
}

// dns gives the tenant a resolver that knows four.example and six.example.
func (e *env) dns(tn *hostcalls.Tenant, _ *hostcalls.Request) {
	s := dnstest.Start(e.t)
	s.MustSet(e.t, "four.example", "A 192.0.2.4")
	s.MustSet(e.t, "six.example", "AAAA 2001:db8::6")
	r, err := dnsverify.NewClient(dnsverify.ClientOptions{Resolvers: s.Resolvers()})
	if err != nil {
		e.t.Fatal(err)
	}
	tn.Resolver = r
}
