package examples_test

import (
	"encoding/base64"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/dnsverify/dnstest"
)

func doh(t *testing.T, s *site) {
	dns := dnstest.Start(t)
	dns.MustSet(t, "www.example.com", "60 A 192.0.2.7", "60 A 192.0.2.8")
	resolver, err := dnsverify.NewClient(dnsverify.ClientOptions{Resolvers: dns.Resolvers()})
	if err != nil {
		t.Fatal(err)
	}
	s.tenant.Resolver = resolver

	query := dnsmessage.Message{
		Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName("www.example.com."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
		}},
	}
	packed, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	const path, kind = "/dns-query", "application/dns-message"
	for _, a := range []answer{
		s.get(path + "?dns=" + base64.RawURLEncoding.EncodeToString(packed)),
		s.do("POST", path, string(packed), "Content-Type", kind),
	} {
		var m dnsmessage.Message
		if err := m.Unpack([]byte(a.body)); err != nil || a.code != 200 || m.ID != 7 || len(m.Answers) != 2 {
			t.Errorf("got %d, %v, %v, want two addresses", a.code, m, err)
		}
		a.has(t, "Content-Type", kind)
		a.has(t, "Cache-Control", "max-age=60")
	}
	s.do("POST", path, string(packed), "Content-Type", "text/plain").contains(t, 415, kind)
	s.do("POST", path, "short", "Content-Type", kind).contains(t, 400, "DNS message")
	s.get(path+"?dns=A").contains(t, 400, "DNS message")
	s.get(path).contains(t, 400, "DNS message")
	s.do("PUT", path, "").has(t, "Allow", "GET, HEAD, POST")
	s.do("POST", path, "a DNS message it is not", "Content-Type", kind).contains(t, 502, "did not answer")
}

func blog(t *testing.T, s *site) {
	s.tenant.Files = os.DirFS("blog")
	a := s.get("/")
	a.has(t, "Content-Type", "text/html; charset=utf-8")
	newer := strings.Index(a.body, `<a href="/2026-02-03-what-markdown">What Markdown this is</a>`)
	older := strings.Index(a.body, `<a href="/2026-01-12-a-post-is-a-file">A post is a file</a>`)
	if newer < 0 || older < newer {
		t.Errorf("got %q, want both posts, the newest first", a.body)
	}
	post := s.get("/2026-02-03-what-markdown?x=y")
	for _, part := range []string{
		"<h1>What Markdown this is</h1>",
		"<em>emphasis</em>, <strong>strong emphasis</strong>, <code>code</code>",
		`<a href="https://commonmark.org/help/">links</a>`,
		"<ul>\n<li>Lists\n<li>of this kind\n</ul>\n<ol>\n<li>and\n<li>of this\n</ol>\n",
		"<blockquote>\n<p>Quotes, which may hold <em>anything</em>.</p>\n</blockquote>\n<hr>\n",
		"no &lt;script&gt;alert(1)&lt;/script&gt;",
	} {
		post.contains(t, 200, part)
	}
	s.get("/2026-01-12-a-post-is-a-file").contains(t, 200, "<pre><code>git add posts &amp;&amp; git commit")
	for _, path := range []string{"/nothing", "/../index", "/posts/2026-02-03-what-markdown", "/%2e%2e/README"} {
		s.get(path).contains(t, 404, "No such post")
	}
	s.tenant.Files = fstest.MapFS{"posts/odd.md": {Data: []byte(
		"# *Odd* & <b>\n\n[a](javascript:alert(1)) [b](JAVASCRIPT:x) [c](/d?e=f&g#h:i) ![\"j\"](k.png)\n*open **half** [not](\n```\nleft open <")}}
	odd := s.get("/odd")
	odd.contains(t, 200, "<title>*Odd* &amp; &lt;b&gt;</title>")
	odd.contains(t, 200, `[a](javascript:alert(1)) [b](JAVASCRIPT:x) <a href="/d?e=f&amp;g#h:i">c</a> <img src="k.png" alt="&quot;j&quot;">`)
	odd.contains(t, 200, "<pre><code>left open &lt;\n</code></pre>")
}

func links(t *testing.T, s *site) {
	made := s.do("POST", "/go/", "url=https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc")
	place := made.header.Get("Location")
	made.want(t, 201, place+"\n")
	followed := s.get(place + "?x=y")
	followed.want(t, 302, "https://example.com/a?b=c\n")
	followed.has(t, "Location", "https://example.com/a?b=c")
	s.get("/go/none").want(t, 404, "no such link\n")
	s.do("POST", "/go/", "url=javascript:alert(1)").contains(t, 422, "https://")
	s.do("PUT", "/go/", "").has(t, "Allow", "GET, HEAD, POST")
}
