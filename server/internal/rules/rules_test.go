package rules

import (
	"strings"
	"testing"
)

func TestRedirectRules(t *testing.T) {
	rs, err := ParseRedirects(`
# a comment, and blank lines

/old            /new                           301
/blog/:slug     /posts/:slug
/docs/*         https://docs.example:8443/d/:splat  302
/q/:id          /find?id=:id                   307
/app/*          /app/index.html                200
/forced         /elsewhere                     308!
/go/*           /:splat
/a/:x/b/:y      /:y/:x
/old            /never
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path  string
		taken bool
		want  string
	}{
		{"/old", false, "/new?k=v"},
		{"/old", true, ""},
		{"/old/", false, ""},
		{"/blog/hello world", false, "/posts/hello%20world?k=v"},
		{"/blog/", false, ""},
		{"/blog/a/b", false, ""},
		{"/docs", false, "https://docs.example:8443/d/?k=v"},
		{"/docs/a/b", false, "https://docs.example:8443/d/a/b?k=v"},
		{"/q/1&admin=1", false, "/find?id=1%26admin%3D1"},
		{"/app/x/y", false, "/app/index.html"},
		{"/forced", true, "/elsewhere?k=v"},
		{"/go//evil.example", false, ""},
		{"/a/1/b/2", false, "/2/1?k=v"},
		{"/none", false, ""},
		{"/", false, ""},
	} {
		got := ""
		if m, ok := rs.Find(tt.path, tt.taken); ok && m.Stays() {
			got = m.Path()
		} else if ok {
			got = m.Location("k=v")
		}
		if got != tt.want {
			t.Errorf("%s (taken %v): %q, want %q", tt.path, tt.taken, got, tt.want)
		}
	}
}

func TestRedirectFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"/a", `_redirects:1: want "from to [status]"`},
		{"\n/a /b 418", `_redirects:2: status "418"`},
		{"a /b", `"a" does not start with "/"`},
		{"https://x.example/a /b", "does not start with"},
		{"/a/*/b /c", `"*" stands alone`},
		{"/a*/ /c", `"*" stands alone`},
		{"/:a/:a /c", "each used once"},
		{"/:splat /c", `not "splat"`},
		{"/a //evil.example", "want a path, or a URL"},
		{"/a javascript:alert(1)", "want a path, or a URL"},
		{"/* https://:splat/x", "want a path, or a URL"},
		{"/* https://x.:splat/", "only behind the host"},
		{"/* https://u:p@x.example/", "before the \"@\""},
		{"/a /:b", `":b" is no placeholder`},
		{"/a /:splat", `":splat" is no placeholder`},
		{"/a https://x.example/ 200", "want a path"},
		{"/a /b?c 200", "without a query"},
		{"/a /b 301 Country=de", "conditions"},
		{"/a /" + strings.Repeat("b", 2000), "line too long"},
		{strings.Repeat("/a/* /b\n", 201), "_redirects:201: too many rules"},
		{strings.Repeat("/a /b\n", 2001), "_redirects:2001: too many rules"},
	} {
		if _, err := ParseRedirects(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// reserved is what an edge reserves, and more than one name of it.
func reserved(name string) bool { return name == "Content-Length" || name == "Terrane-Edge" }

func TestHeaderFaults(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{" X-A: b", "_headers:1: a header stands below"},
		{"/a\n  no colon", `_headers:2: "no colon"`},
		{"/a\n  X A: b", `want "Name: value"`},
		{"/a\n  X-A: b\x01", "control character"},
		{"/a\n  content-length: 1", "Content-Length is for the edge"},
		{"/a\n  Terrane-Edge: x", "Terrane-Edge is for the edge"},
		{"/a\n  Basic-Auth: u:p", "visitors would see them"},
		{"a", "does not start with"},
		{strings.Repeat("/a\n", 201), "too many rules"},
	} {
		if _, err := ParseHeaders(tt.text, reserved); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// Whatever a tenant writes, a request neither panics nor leaves the hosts that the
// rule names.
func FuzzRules(f *testing.F) {
	f.Add("/go/* /:splat", "/go//evil.example")
	f.Add("/:a/* https://x.example/:splat?:a 302", "/b/c\r\nX: y")
	f.Add("/*\n X: y", "/")
	f.Fuzz(func(t *testing.T, text, path string) {
		if path == "" || path[0] != '/' { // the server refuses it
			t.Skip()
		}
		if hs, err := ParseHeaders(text, reserved); err == nil {
			hs.Set(make(map[string][]string), path)
		}
		rs, err := ParseRedirects(text)
		if err != nil {
			return
		}
		m, ok := rs.Find(path, false)
		if !ok || m.Stays() {
			return
		}
		to := m.Location("")
		if strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n\x00") {
			t.Errorf("location %q", to)
		}
		if origin := m.rule.to[0]; strings.HasPrefix(origin, "http") {
			_, rest, _ := strings.Cut(origin, "://")
			host, _, _ := strings.Cut(rest, "/")
			_, rest, _ = strings.Cut(to, "://")
			if !strings.HasPrefix(rest, host) {
				t.Errorf("location %q of %q", to, origin)
			}
		}
	})
}

func BenchmarkRedirects(b *testing.B) {
	rs, err := ParseRedirects(strings.Repeat("/some/folder/:x/deep/* /b/:x\n", 200) + strings.Repeat("/a /b\n", 1000))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		rs.Find("/some/folder/name/else/where", false)
	}
}
