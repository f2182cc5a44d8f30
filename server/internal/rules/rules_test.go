package rules

import (
	"net/http"
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
		{"/old/", false, "/new?k=v"},
		{"/blog/x/", false, "/posts/x?k=v"},
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
		if m, ok := rs.Find("h.example", tt.path, tt.taken); ok && m.Stays() {
			got = m.Path()
		} else if ok {
			got = m.Location("k=v")
		}
		if got != tt.want {
			t.Errorf("%s (taken %v): %q, want %q", tt.path, tt.taken, got, tt.want)
		}
	}
}

// What people write in a rule: escapes, colons, fragments, and slashes at the end.
func TestRedirectTexts(t *testing.T) {
	for _, tt := range []struct{ rule, path, want string }{
		{"/old%20page /new%20page", "/old page", "/new%20page?k=v"},
		{"\ufeff/a /b", "/a", "/b?k=v"},
		{"/caf%C3%A9 /x", "/caf\u00e9", "/x?k=v"},
		{"/caf\u00e9 /x", "/caf\u00e9", "/x?k=v"},
		{"/a%2Fb /x", "/a/b", "/x?k=v"},
		{"/50%off /x", "/50%off", "/x?k=v"},
		{"/%2A /x", "/*", "/x?k=v"},
		{"/%2A /x", "/other", ""},
		{"/%3Aa /x", "/:a", "/x?k=v"},
		{"/%3Aa /x", "/b", ""},
		{"/caf%C3%A9/:x /y/:x", "/caf\u00e9/\u00fc", "/y/%C3%BC?k=v"},
		{"/old/ /new", "/old", "/new?k=v"},
		{"/old/ /new", "/old/", "/new?k=v"},
		{"/old /new", "/old//", ""},
		{"/blog/:x/ /new/:x", "/blog/a", "/new/a?k=v"},
		{"/ /new", "/", "/new?k=v"},
		{"/a /b\n/a/ /c", "/a/", "/c?k=v"},
		{"/a /b\n/a/ /c", "/a", "/b?k=v"},
		{"/a /b\n/* /c", "/a/", "/b?k=v"},
		{"/a /a/", "/a", "/a/?k=v"},
		{"/a /a/", "/a/", ""},
		{"/a/ /a", "/a", ""},
		{"/a/:x /a/:x/", "/a/b", "/a/b/?k=v"},
		{"/a/:x /a/:x/", "/a/b/", ""},
		{"/a https://h.example/a/", "/a/", ""},
		{"/a https://other.example/a/", "/a/", "https://other.example/a/?k=v"},
		{"/* https://h.example/:splat 301!", "/a", ""},
		{"/ https://H.example", "/", ""},
		{"/a /b#part", "/a", "/b?k=v#part"},
		{"/a /b?c=d#part", "/a", "/b?c=d#part"},
		{"/a /b?", "/a", "/b?"},
		{"/a/:x /b#:x", "/a/c", "/b?k=v#c"},
		{"/a /wiki/Special:Search", "/a", "/wiki/Special:Search?k=v"},
		{"/a /at/10:30", "/a", "/at/10:30?k=v"},
		{"/a /b:", "/a", "/b:?k=v"},
		{"/a/:x /b:x/:x", "/a/1", "/b1/1?k=v"},
		{"/a https://x.example:8443/b:c", "/a", "https://x.example:8443/b:c?k=v"},
		{"/a HTTPS://x.example/b", "/a", "https://x.example/b?k=v"},
		{"/a https://b\u00fccher.example:8443/", "/a", "https://xn--bcher-kva.example:8443/?k=v"},
		{"/a https://[2001:db8::1]:8443/", "/a", "https://[2001:db8::1]:8443/?k=v"},
		{"/a https://x.example?y=z", "/a", "https://x.example?y=z"},
		{"/a /caf%C3%A9/b:c 200", "/a", "/caf\u00e9/b:c"},
		{"/a /%3Ab 200", "/a", "/:b"},
	} {
		rs, err := ParseRedirects(tt.rule)
		if err != nil {
			t.Errorf("%q: %v", tt.rule, err)
			continue
		}
		got := ""
		if m, ok := rs.Find("h.example", tt.path, false); ok && m.Stays() {
			got = m.Path()
		} else if ok {
			got = m.Location("k=v")
		}
		if got != tt.want {
			t.Errorf("%q of %s: %q, want %q", tt.rule, tt.path, got, tt.want)
		}
	}
}

func TestHeaderPaths(t *testing.T) {
	for _, tt := range []struct {
		rule, file string
		want       bool
	}{
		{"/old%20page.html", "old page.html", true},
		{"/old page.html", "old page.html", true},
		{"/caf%C3%A9/*", "caf\u00e9/a.css", true},
		{"\ufeff/docs", "docs/index.html", true},
		{"/docs/", "docs/index.html", true},
		{"/docs", "docs/a.html", false},
		{"/", "index.html", true},
		{"/", "a.html", false},
	} {
		hs, err := ParseHeaders(tt.rule+"\n  X-A: b", reserved)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		if hs.Set(h, tt.file); (h.Get("X-A") == "b") != tt.want {
			t.Errorf("%q of %s: %v, want a match: %v", tt.rule, tt.file, h, tt.want)
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
		{"/a /b#c 200", "without a query or a fragment"},
		{"/a?b=c /d", "a query or a fragment is no part of a path"},
		{"/a#b /d", "a query or a fragment is no part of a path"},
		{"/:a-b /c", "write a \":\" that begins none as %3A"},
		{"/:a /b?x=:c", `":c" is no placeholder`},
		{"/a https://-\u00fc-.example/", "-\u00fc-.example"},
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
		m, ok := rs.Find("h.example", path, false)
		if !ok || m.Stays() {
			return
		}
		to := m.Location("")
		if strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\r\n\x00") {
			t.Errorf("location %q", to)
		}
		if origin := m.rule.origin; origin != "" {
			rest, ok := strings.CutPrefix(to, origin)
			if !ok || rest != "" && !strings.Contains("/?#", rest[:1]) {
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
		rs.Find("h.example", "/some/folder/name/else/where", false)
	}
}
