package examples_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/dnsverify/dnstest"
	"github.com/terrane/terrane/hostcalls"
)

// TestLibraries runs guests that use what of each library no example does.
func TestLibraries(t *testing.T) {
	e := newEngine(t)
	for lang, check := range map[string]func(*testing.T, *site){
		"rust": rustLibrary, "c": cLibrary, "assemblyscript": assemblyScriptLibrary, "go": messagesLibrary,
	} {
		t.Run(lang, func(t *testing.T) {
			g := guest{dir: filepath.Join("testdata", lang), module: "all.wasm", lang: lang}
			file := g.file()
			if lang == "c" || lang == "go" || *rebuild { // the other compilers take their time
				rules, err := filepath.Abs(filepath.Join("sdk", lang, "rules.mk"))
				if err != nil {
					t.Fatal(err)
				}
				file = g.build(t, "-f", rules, "MODULE="+g.module)
			} else if len(read(t, file)) > maxModule {
				t.Errorf("%s has more than %d bytes", file, maxModule)
			}
			s := g.open(t, e, file)
			check(t, s)
			newLibrary(t, s)
			if lang != "rust" {
				restOfLibrary(t, s)
			}
			refusedParts(t, s)
		})
	}
}

// refusedParts wants that a response over the limit is not sent, and that a request
// with a header that is not valid is not either.
func refusedParts(t *testing.T, s *site) {
	log := &logged{}
	s.tenant.Logger = log
	s.tenant.Limits.ResponseBody = 100
	if err := s.fails("/large"); !strings.Contains(err, "limit of 100") {
		t.Errorf("an answer over the limit fails with %q", err)
	}
	log.want(t, "limit of 100")
	sent := map[string]string{
		"c": "0-1", "go": "the header X has a control character in its value",
		"rust":           `Some(Error("the header X has a control character in its value"))`,
		"assemblyscript": "fetch http://192.0.2.1/: the header X has a control character in its value",
	}
	s.get("/sent").want(t, 200, sent[s.guest.lang])
}

// logged keeps what a guest logs.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Log(_ *hostcalls.Request, level slog.Level, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level.String()+" "+text)
}

func (l *logged) want(t *testing.T, part string) {
	t.Helper()
	if got := strings.Join(l.lines, "\n"); !strings.Contains(got, part) {
		t.Errorf("got a log of %q, want in it %q", got, part)
	}
}

// echo answers what it was sent, with a header of two lines.
func echo(t *testing.T) string {
	t.Helper()
	return upstream(t, func(w http.ResponseWriter, r *http.Request) string {
		w.Header()["Date"] = nil
		w.Header()["X-Two"] = []string{"1", "2"}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		return fmt.Sprintf("%s %s %s", r.Method, r.Header.Get("X-Own"), body)
	}).URL
}

func rustLibrary(t *testing.T, s *site) {
	messagesLibrary(t, s)
	a := s.do("GET", "/headers", "", "X-Own", "1", "X-Own", "2")
	a.want(t, 200, "fastly-client-ip=192.0.2.1\nhost=alice.localhost\nx-own=1\nx-own=2\n")
	a.has(t, "X-Two", "1, 2")
	s.get("/kv").want(t, 200, "[true, false, false, true, false] [Some([97, 99]), Some([100]), None] [true, false]")

	s.get("/list").want(t, 200, `["k2"] [Some(5), Some(-2), None] None`)

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
	s.get("/select?"+slow+"&"+fast).want(t, 200, "1 202\n0 200\n")
	s.get("/poll?"+echo(t)).want(t, 200, "x-two=1\nx-two=2\n")
	s.get("/wait?"+echo(t)).want(t, 200, "Ok(200)")
	s.get("/wait?http://[::1]:1/").contains(t, 200, `Err(Error("`)

	dns := dnstest.Start(t)
	dns.MustSet(t, "a.example", "A 192.0.2.7", "AAAA 2001:db8::7")
	resolver, err := dnsverify.NewClient(dnsverify.ClientOptions{Resolvers: dns.Resolvers()})
	if err != nil {
		t.Fatal(err)
	}
	s.tenant.Resolver = resolver
	s.get("/dns?name=a.example").want(t, 200, "([192.0.2.7], [2001:db8::7])")
	s.get("/dns?name=b.example").want(t, 200, "([], [])")
	s.wantTime(t, "/time", "%d true")
	if err := s.fails("/elsewhere"); !strings.Contains(err, "no /elsewhere") {
		t.Errorf("got %q, want the panic's message", err)
	}
}

func cLibrary(t *testing.T, s *site) {
	messagesLibrary(t, s)
	log := &logged{}
	s.tenant.Logger = log
	s.do("GET", "/headers", "", "X-Two", "1", "X-Two", "2").want(t, 200, "fastly-client-ip,host,x-two;1,2;none;")
	s.get("/kv").want(t, 200, "10010ac;d;none;10")
	s.get("/wait?"+echo(t)).want(t, 200, "2001;content-length,content-type,x-two;POST 1 text")
	s.tenant.Env["NAME"] = ""
	s.get("/extras").want(t, 200, ";none;5-2")
	s.get("/refused").contains(t, 200, "nowhere")
	s.get("/numbers").want(t, 200, "0 -7 -9223372036854775808 9223372036854775807 ")
	s.wantTime(t, "/time", "%d different")
	if err := s.fails("/panic"); !strings.Contains(err, "on purpose") {
		t.Errorf("got %q, want the panic's message", err)
	}
	s.get("/elsewhere").want(t, 404, "")
	log.want(t, "nothing there")
}

func assemblyScriptLibrary(t *testing.T, s *site) {
	messagesLibrary(t, s)
	log := &logged{}
	s.tenant.Logger = log
	a := s.do("GET", "/headers", "", "X-Own", "1")
	a.want(t, 200, "1 none")
	a.has(t, "X-Two", "1, 2")
	s.get("/kv").want(t, 200, "true,false,false,true,false ac d none true false")
	s.do("GET", "/all-headers", "", "X-Own", "1", "X-Own", "2").want(t, 200, "fastly-client-ip=192.0.2.1;host=alice.localhost;x-own=1;x-own=2")
	s.tenant.Env["NAME"] = "value"
	s.get("/env").want(t, 200, "value none")
	a = s.get("/fetch?" + echo(t))
	a.want(t, 200, "POST 1 text")
	a.has(t, "X-First", "1")
	s.get("/fetch?nowhere").want(t, 502, "none")
	s.wantTime(t, "/time", "[%d, true]")
	s.do("POST", "/escape", `<a href="x">'&'</a>`).want(t, 200, "POST&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;")
	if err := s.fails("/elsewhere"); !strings.Contains(err, "no /elsewhere at all.ts:") {
		t.Errorf("got %q, want the error's message and place", err)
	}
	log.want(t, "nothing there")
}

// wantTime wants an answer of a form that has the time of day in it.
func (s *site) wantTime(t *testing.T, path, form string) {
	t.Helper()
	var got int64
	body := s.get(path).body
	if _, err := fmt.Sscanf(body, form, &got); err != nil || time.Since(time.Unix(got, 0)).Abs() > time.Minute {
		t.Errorf("got %q, want %q with the time", body, form)
	}
}
