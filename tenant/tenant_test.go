package tenant

import (
	"strings"
	"testing"
	"time"
)

func TestParseID(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		wantErr  string
	}{
		{in: "/git/alice", want: "/git/alice"},
		{in: "/keybase/private/alice,kbwasm/", want: "/keybase/private/alice,kbwasm"},
		{in: "git@git.example.net:alice/site.git", want: "git@git.example.net:alice/site.git"},
		{in: "https://git.example.net/alice/site", want: "https://git.example.net/alice/site"},
		{in: "/git/ålice", want: "/git/ålice"},
		{in: "", wantErr: "starts with neither"},
		{in: "/", wantErr: "starts with neither"},
		{in: "alice", wantErr: "starts with neither"},
		{in: "git@/x:y", wantErr: "has the host"},
		{in: "/keybase/private/alice@twitter,bob#carol", want: "/keybase/private/alice@twitter,bob#carol"}, // as Keybase names folders
		{in: "https://git.example.net:8443/~alice/a_b+c", want: "https://git.example.net:8443/~alice/a_b+c"},
		{in: "https://xn--bcher-kva.example/x", want: "https://xn--bcher-kva.example/x"},
		// Issue 20, S1: what is read as a URL must lead where it seems to.
		{in: "https://h/tenants/%2e%2e/private", wantErr: `"%"`},
		{in: "https://h/tenants%2f..%2fprivate", wantErr: `"%"`},
		{in: "/git/%2e%2e", wantErr: `"%"`},
		{in: "https://h/tenants/x?/../../private", wantErr: `"?"`},
		{in: "https://h/tenants/x#y", wantErr: `has "#"`},
		{in: "https://h/tenants/@other/x", wantErr: `has "@"`},
		{in: "https://user@h/tenants/x", wantErr: "has the host"},
		{in: "https://user:word@h/tenants/x", wantErr: "has the port"},
		{in: "https://h:@other/x", wantErr: "has the port"},
		{in: "https://h:/x", wantErr: "has the port"},
		{in: "https://h:0443/x", wantErr: "has the port"},
		{in: "https://h:99999/x", wantErr: "has the port"},
		{in: "https://H/x", wantErr: "has the host"},
		{in: "https://h./x", wantErr: "has the host"},
		{in: "https://bücher.example/x", wantErr: "has the host"},
		{in: "https://[::1]/x", wantErr: "has the port"},
		{in: "https:///x", wantErr: "has the host"},
		{in: "https://h", wantErr: "starts with neither"},
		{in: "https://h/", wantErr: "starts with neither"},
		{in: "https://h//x", wantErr: "empty element"},
		{in: "https://h/a/../x", wantErr: `".."`},
		{in: "https://h/b\u2024\u2024/x", wantErr: "in a repository's name"}, // dots to some
		{in: "http://h/x", wantErr: "starts with neither"},
		{in: "HTTPS://h/x", wantErr: "starts with neither"},
		{in: "ssh://git@h/x", wantErr: "starts with neither"},
		{in: "git@h:2222:x", wantErr: `has ":"`}, // a port, to some
		{in: "git@h:x'; id; '", wantErr: `has "'"`},
		{in: "git@h:x y", wantErr: `has " "`},
		{in: "git@h:-x", wantErr: `start with "-"`},
		{in: "git@-oProxyCommand=id:x", wantErr: "has the host"},
		{in: "git@h@other:x", wantErr: "has the host"},
		{in: "git@h:/srv/x", wantErr: "empty element"},
		{in: "git@h:~/x", want: "git@h:~/x"},
		{in: "git@h:a//x", wantErr: "empty element"},
		{in: "/git//alice", wantErr: "empty element"},
		{in: "/git/alice//", wantErr: "empty element"},
		{in: "/git/../etc", wantErr: `".."`},
		{in: "/git/.git", wantErr: `".git"`},
		{in: "git@h:../x", wantErr: `".."`},
		{in: "/git/a\nb", wantErr: "control character"},
		{in: `/git/a\b`, wantErr: "backslash"},
		{in: "/git/\xff", wantErr: "UTF-8"},
		{in: "/" + strings.Repeat("a", maxIDLength), wantErr: "at most"},
	} {
		got, err := ParseID(tt.in)
		if string(got) != tt.want || !errHas(err, tt.wantErr) {
			t.Errorf("ParseID(%.40q) = %q, %v; want %q, error with %q", tt.in, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, tt := range []struct {
		in          string
		path, repos bool // may be the prefix of such a store
	}{
		{"/git/", true, false}, {"/keybase/private/", true, false}, {"/git", false, false}, {"/", true, false}, {"", false, false},
		{"https://", false, true}, {"https://h/", false, true}, {"https://h:8443/a/", false, true}, {"https://h", false, false}, {"https://h/a", false, false},
		{"git@h:", false, true}, {"git@h:a/", false, true}, {"git@h:a", false, false}, {"git@", false, false}, {"https://u@h/", false, false},
		{"https://h/%61/", false, false}, {"https://h/?", false, false}, {"/%61/", false, false}, {"http://h/", false, false},
	} {
		if path, repos := CheckPrefix(tt.in, false) == nil, CheckPrefix(tt.in, true) == nil; path != tt.path || repos != tt.repos {
			t.Errorf("CheckPrefix(%q): of paths %v, of repositories %v; want %v, %v", tt.in, path, repos, tt.path, tt.repos)
		}
	}
}

func TestParseHost(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	for _, tt := range []struct {
		in, want string
		wantErr  string
	}{
		{in: "example.com", want: "example.com"},
		{in: "EXAMPLE.com.", want: "example.com"},
		{in: "example.com:8443", want: "example.com"},
		{in: "alice.localhost:8443", want: "alice.localhost"},
		{in: "xn--bcher-kva.example", want: "xn--bcher-kva.example"},
		{in: label63 + ".com", want: label63 + ".com"},
		{in: label63 + "a.com", wantErr: "not a domain name"},
		{in: "a..b.com", wantErr: "not a domain name"},
		{in: "bücher.example", wantErr: "not a domain name"},
		{in: "-a.example", wantErr: "not a domain name"},
		{in: "a_b.example", wantErr: "not a domain name"},
		{in: "", wantErr: "not a domain name"},
		{in: "localhost", wantErr: "single label"},
		{in: "192.0.2.1", wantErr: "an address"},
		{in: "192.0.2.1:80", wantErr: "an address"},
		{in: "[2001:db8::1]:80", wantErr: "an address"},
		{in: "2001:db8::1", wantErr: "not a domain name"},
		{in: strings.Repeat("a.", 127) + "com", wantErr: "at most 253"},
	} {
		got, err := ParseHost(tt.in)
		if string(got) != tt.want || !errHas(err, tt.wantErr) {
			t.Errorf("ParseHost(%.40q) = %q, %v; want %q, error with %q", tt.in, got, err, tt.want, tt.wantErr)
		}
	}
}

func errHas(err error, want string) bool {
	if err == nil {
		return want == ""
	}
	return want != "" && strings.Contains(err.Error(), want)
}

func TestConsent(t *testing.T) {
	list := &Manifest{Domains: []Pattern{"example.com", "*.example.org"}}
	for _, tt := range []struct {
		m        *Manifest
		host     Host
		required bool
		want     bool
	}{
		{&Manifest{}, "a.com", false, true},
		{&Manifest{}, "a.com", true, false},
		{&Manifest{Domains: []Pattern{}}, "a.com", false, false},
		{list, "example.com", true, true},
		{list, "www.example.com", false, false},
		{list, "a.example.org", false, true},
		{list, "a.b.example.org", false, false},
		{list, "example.org", false, false},
	} {
		if got := tt.m.Consents(tt.host, tt.required); got != tt.want {
			t.Errorf("%v.Consents(%s, %v) = %v", tt.m.Domains, tt.host, tt.required, got)
		}
	}
}

func TestStandingText(t *testing.T) {
	for _, want := range []Standing{Unknown, Verified, Denied} {
		text, err := want.MarshalText()
		var got Standing
		if err != nil || got.UnmarshalText(text) != nil || got != want {
			t.Errorf("%s became %s, %v", want, got, err)
		}
	}
	if new(Standing).UnmarshalText([]byte("perhaps")) == nil {
		t.Error("a standing that is none was taken")
	}
}

func TestLimitsOnlyLower(t *testing.T) {
	ceiling := Limits{Memory: 100, Wall: 10 * time.Second, Concurrency: 64}
	got := ceiling.Lower(Limits{Memory: 200, Wall: time.Second, RequestsPerSecond: 5})
	want := Limits{Memory: 100, Wall: time.Second, Concurrency: 64, RequestsPerSecond: 5}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSiteResolve(t *testing.T) {
	site := func(routes []Route, names ...string) *Site {
		files := make(map[string]File)
		for _, n := range names {
			files[n] = File{}
		}
		return NewSite(&Snapshot{Files: files, Manifest: Manifest{Routes: routes}})
	}
	full := site([]Route{{"/api/*", "api.wasm"}, {"/tick", "cron.wasm"}, {"/all/*", "index.wasm"}},
		"hello.wasm", "index.wasm", "api.wasm", "cron.wasm", "style.css", "docs/index.html", "a/deep.wasm",
		"terrane.toml", "_redirects", ".git/config", "a/.env", ".hid.wasm", "api/static.txt", "both", "both.wasm")
	pages := site(nil, "index.html", "404.html", "index.wasm.txt")
	escaped := site([]Route{{"/caf%C3%A9", "cron.wasm"}, {"/a%20b/*", "api.wasm"}, {"/%2A", "cron.wasm"}, {"/50%off", "cron.wasm"}, {"/b/", "cron.wasm"},
		{"/pre-*", "api.wasm"}}, "cron.wasm", "api.wasm")
	both := site(nil, "index.html", "index.wasm")
	for _, tt := range []struct {
		name string
		site *Site
		path string
		want Target
	}{
		{"static", full, "/style.css", Target{Kind: Static, File: "style.css"}},
		{"module", full, "/hello.wasm", Target{Kind: Module, File: "hello.wasm"}},
		{"module with rest", full, "/hello.wasm/a/b", Target{Kind: Module, File: "hello.wasm", Info: "/a/b"}},
		{"module by short name", full, "/hello", Target{Kind: Module, File: "hello.wasm"}},
		{"file before short name", full, "/both", Target{Kind: Static, File: "both"}},
		{"deep module", full, "/a/deep", Target{Kind: Module, File: "a/deep.wasm"}},
		{"deep module with rest", full, "/a/deep.wasm/", Target{Kind: Module, File: "a/deep.wasm", Info: "/"}},
		{"route", full, "/api/x", Target{Kind: Module, File: "api.wasm", Info: "/x"}},
		{"file before route", full, "/api/static.txt", Target{Kind: Static, File: "api/static.txt"}},
		{"exact route", full, "/tick", Target{Kind: Module, File: "cron.wasm"}},
		{"folder index", full, "/docs/", Target{Kind: Static, File: "docs/index.html"}},
		{"folder without slash", full, "/docs", Target{Kind: Redirect}},
		{"fallback", full, "/nothing", Target{Kind: Module, File: "index.wasm", Info: "/nothing", Fallback: true}},
		{"root", full, "/", Target{Kind: Module, File: "index.wasm", Info: "/"}},
		{"index module by name", full, "/index.wasm", Target{Kind: Module, File: "index.wasm"}},
		{"index module by short name", full, "/index", Target{Kind: Module, File: "index.wasm"}},
		{"index module with rest", full, "/index.wasm/a", Target{Kind: Module, File: "index.wasm", Info: "/a"}},
		{"route to the index module", full, "/all/x", Target{Kind: Module, File: "index.wasm", Info: "/x"}},
		{"route with a slash", full, "/tick/", Target{Kind: Module, File: "cron.wasm"}},
		{"route without its slash", escaped, "/b", Target{Kind: Module, File: "cron.wasm"}},
		{"route with escapes", escaped, "/caf\u00e9", Target{Kind: Module, File: "cron.wasm"}},
		{"routes with escapes", escaped, "/a b/c d", Target{Kind: Module, File: "api.wasm", Info: "/c d"}},
		{"route with a \"*\" that is none", escaped, "/%2A", Target{}},
		{"route with a star", escaped, "/*", Target{Kind: Module, File: "cron.wasm"}},
		{"route with a percent sign", escaped, "/50%off", Target{Kind: Module, File: "cron.wasm"}},
		{"routes within an element", escaped, "/pre-x/y", Target{Kind: Module, File: "api.wasm", Info: "/pre-x/y"}},
		{"empty element", full, "//api/x", Target{Kind: Module, File: "index.wasm", Info: "//api/x", Fallback: true}},
		{"empty element of a route", full, "/api//x", Target{Kind: Module, File: "api.wasm", Info: "//x"}},
		{"empty element behind a module", full, "/hello.wasm/https://h/x", Target{Kind: Module, File: "hello.wasm", Info: "/https://h/x"}},
		{"dot", full, "/./style.css", Target{Kind: Module, File: "index.wasm", Info: "/./style.css", Fallback: true}},
		{"dots hide nothing", full, "/x/./../style.css", Target{}},
		{"page with an empty element", full, "//style.css", Target{Kind: Module, File: "index.wasm", Info: "//style.css", Fallback: true}},
		{"manifest hidden", full, "/terrane.toml", Target{Kind: Module, File: "index.wasm", Info: "/terrane.toml", Fallback: true}},
		{"git hidden", full, "/.git/config", Target{Kind: Module, File: "index.wasm", Info: "/.git/config", Fallback: true}},
		{"dot file hidden", full, "/a/.env", Target{Kind: Module, File: "index.wasm", Info: "/a/.env", Fallback: true}},
		{"dot module hidden", full, "/.hid.wasm", Target{Kind: Module, File: "index.wasm", Info: "/.hid.wasm", Fallback: true}},
		{"index.html before index.wasm", both, "/", Target{Kind: Static, File: "index.html"}},
		{"index.wasm for the rest", both, "/x", Target{Kind: Module, File: "index.wasm", Info: "/x", Fallback: true}},
		{"miss page", pages, "/x", Target{File: "404.html"}},
		{"dotdot", pages, "/../x", Target{File: "404.html"}},
		{"double slash", pages, "//index.html", Target{File: "404.html"}},
		{"relative", pages, "index.html", Target{File: "404.html"}},
		{"nothing at all", site(nil), "/", Target{}},
	} {
		if got := tt.site.Resolve(tt.path); got != tt.want {
			t.Errorf("%s: Resolve(%q) = %+v, want %+v", tt.name, tt.path, got, tt.want)
		}
	}
}

func TestHidden(t *testing.T) {
	for _, name := range []string{
		"hello.wasm", "hello.WASM", "a/Hello.Wasm", "hello.wasm~", "hello.wasm.bak", "hello.wasm.partial", "hello.wasm.~1~", "#hello.wasm#", "hello.wasm.gz",
		"hello.WASM.old", "hello.wasm-20260101", "hello.wasm.1", "hello.wasm (copy)", "hello.wasm.orig", "terrane.toml", "TERRANE.toml", "terrane.toml~",
		"terrane.toml.bak", "#terrane.toml#", "sub/terrane.toml.bak", "_redirects", "_redirects.orig", "_headers~", "sub/_headers", ".env", "a/.b", "a/.b/c.txt",
	} {
		if !Hidden(name) {
			t.Errorf("%q is served", name)
		}
		if got := NewSite(&Snapshot{Files: map[string]File{name: {}}}).Resolve("/" + name); got.Kind == Static {
			t.Errorf("%q leads to %+v", name, got)
		}
	}
	for _, name := range []string{
		"hello.wasm.map", "hello.wasm.txt", "hello.wasm.d.ts", "wasm", "a.wasm/page.html", "terrane.html", "terrane.tomls", "_redirectsx", "_headers2", "a~", "x.bak",
	} {
		if Hidden(name) {
			t.Errorf("%q is hidden", name)
		}
	}
}

func FuzzSiteNeverServesHidden(f *testing.F) {
	site := NewSite(&Snapshot{Files: map[string]File{
		"a.wasm": {}, "b/.c": {}, ".d/e": {}, "terrane.toml": {}, "ok.txt": {}, "404.html": {},
	}})
	for _, p := range []string{"/a.wasm", "/b/.c", "/.d/e", "/terrane.toml", "/./terrane.toml", "/ok.txt", "/a.wasm/x"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if got := site.Resolve(p); got.Kind == Static && got.File != "ok.txt" {
			t.Errorf("Resolve(%q) = %+v", p, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("git@h:a/b")
	f.Add("A.example.com.:80")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseID(s); err == nil {
			if again, err := ParseID(string(id)); err != nil || again != id {
				t.Errorf("ParseID(%q) = %q is not canonical: %q, %v", s, id, again, err)
			}
		}
		if h, err := ParseHost(s); err == nil {
			if again, err := ParseHost(string(h)); err != nil || again != h {
				t.Errorf("ParseHost(%q) = %q is not canonical: %q, %v", s, h, again, err)
			}
		}
	})
}
