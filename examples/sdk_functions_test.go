package examples_test

import (
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
)

// exempt has the functions that a library does without, with the reason.
var exempt = map[string]map[string]string{
	"go": {
		"init_mm":         "the host finds the export default_malloc_impl",
		"panic_hook":      "a panic is written to stderr, which is the tenant's log",
		"req_get_method":  cgi,
		"req_get_path":    cgi,
		"req_get_header":  cgi,
		"req_get_headers": cgi,
		"req_get_body":    "it is stdin of a CGI program",
		"resp_set_body":   "it is stdout of a CGI program, or SendChunk",
		"env_get":         "os.Getenv has the manifest's [env]",
		"rng_next_u64":    "crypto/rand has WASI's random_get",
		"time_now":        "package time has WASI's clock",
	},
}

const cgi = "it is in the environment of a CGI program"

// TestLibrariesHaveEachFunction wants each function of the module env declared in each library,
// or exempt. A guest in WAT declares what it uses.
func TestLibrariesHaveEachFunction(t *testing.T) {
	declaration := regexp.MustCompile(`\bhostcall_(\w+)|HOSTCALL\((\w+)\)`)
	for _, lang := range []string{"rust", "c", "assemblyscript", "go"} {
		declared := map[string]bool{}
		files, err := filepath.Glob(filepath.Join("sdk", lang, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for _, m := range declaration.FindAllStringSubmatch(read(t, file), -1) {
				declared[m[1]+m[2]] = true
			}
		}
		for _, f := range hostcalls.Functions() {
			name, ok := strings.CutPrefix(f.Name, "hostcall_")
			if f.Module != "env" || !ok {
				continue
			}
			if reason, not := exempt[lang][name]; declared[name] == not {
				t.Errorf("%s: %s is declared: %v, exempt: %v (%s); want one of the two", lang, name, declared[name], not, reason)
			}
			delete(declared, name)
		}
	}
}

// visitor takes the chunks of a response.
type visitor struct {
	head   string
	chunks []string
	first  chan struct{} // closed by the first chunk
}

func (v *visitor) begin(r *hostcalls.Response) (io.Writer, error) {
	v.head = http.StatusText(r.Code) + " " + r.Header.Get("X-B")
	return v, nil
}

// Write implements io.Writer.
func (v *visitor) Write(p []byte) (int, error) {
	if len(v.chunks) == 0 {
		close(v.first)
	}
	v.chunks = append(v.chunks, string(p))
	return len(p), nil
}

// newLibrary wants of each language's library what Terrarium's libraries did not have.
func newLibrary(t *testing.T, s *site) {
	log := &logged{}
	s.tenant.Logger, s.tenant.Region = log, "lab"
	s.get("/where").want(t, 200, "test lab 1")
	log.want(t, "WARN careful")
	s.get("/versions").want(t, 200, "true one true true true three true")

	hangs := upstream(t, func(_ http.ResponseWriter, r *http.Request) string {
		<-r.Context().Done()
		return ""
	}).URL
	s.get("/timeout?"+hangs).want(t, 200, "none in time")

	// The rest of the body comes only once the visitor has its beginning.
	v := &visitor{first: make(chan struct{})}
	halves := upstream(t, func(w http.ResponseWriter, r *http.Request) string {
		w.Header().Set("X-A", "1")
		_, err := io.WriteString(w, "one")
		if err := errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
			t.Error(err)
		}
		select {
		case <-v.first:
		case <-r.Context().Done():
		}
		return "two"
	}).URL
	s.stream = v.begin
	s.get("/stream?" + halves)
	s.stream = nil
	if v.head != "Created 1" || strings.Join(v.chunks, ",") != "one,two" {
		t.Errorf("the visitor got %q and the chunks %q", v.head, v.chunks)
	}
}

// restOfLibrary wants of a library what the one in Rust is tested for in rustLibrary.
func restOfLibrary(t *testing.T, s *site) {
	dns := dnstest.Start(t)
	dns.MustSet(t, "a.example", "A 192.0.2.7", "AAAA 2001:db8::7")
	resolver, err := dnsverify.NewClient(dnsverify.ClientOptions{Resolvers: dns.Resolvers()})
	if err != nil {
		t.Fatal(err)
	}
	s.tenant.Resolver = resolver
	s.tenant.KV = memorykv.New(hostcalls.Quota{})
	s.get("/more?a.example").want(t, 200, "5 -2 none n;v; 4 16 none")

	// The second request is answered first.
	first := make(chan struct{})
	slow := upstream(t, func(http.ResponseWriter, *http.Request) string {
		<-first
		return ""
	}).URL
	fast := upstream(t, func(w http.ResponseWriter, _ *http.Request) string {
		w.WriteHeader(http.StatusAccepted)
		time.AfterFunc(100*time.Millisecond, func() { close(first) })
		return ""
	}).URL
	s.get("/async?"+slow+"&"+fast).want(t, 200, "pending 1 202 200")
}
