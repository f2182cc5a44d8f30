package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
)

// TestPreviews: a branch is shown at the name made of it and of a domain that shows the
// tenant, and at no other.
func TestPreviews(t *testing.T) {
	g := newGitStore(t)
	g.push("alice/index.html", "one")
	g.push("bob/index.html", "bob")
	g.push("carol/terrane.toml", `domains = ["carol.example"]`)
	e := startEdge(t, func(c *config.Config) {
		g.store(50 * time.Millisecond)(c)
		c.Preview.Domain = "preview.test"
	})
	e.domain("www.alice.example", "terrane=/git/alice/")
	e.domain("bob.example", "terrane=/git/bob/")
	e.domain("mallory.example", "terrane=/git/carol/")
	e.domain("gone.example")
	shows := func(host, want string) func() bool {
		return func() bool { _, body := e.request(host, host, "/"); return body == want }
	}
	e.await("the branch itself", shows("www.alice.example", "one"))
	const red, blue = "red--www-alice-example.preview.test", "blue--bob-example.preview.test"
	g.pushTo("preview/red", "alice/index.html", "red")
	e.await("the preview", shows(red, "red"))
	e.want("www.alice.example", "/", 200, "one")
	e.want(red, "/.well-known/terrane", 200, `"host": "www.alice.example"`)

	// An edge must give no certificate to names that show nothing.
	refused := func(host, why string) {
		t.Helper()
		if _, body := e.request(host, host, "/"); !strings.Contains(body, "remote error: tls") {
			t.Errorf("https://%s: %q, want a refused handshake", host, body)
		}
		if code, body := e.request("", host, "/"); code != http.StatusNotFound || !strings.Contains(body, why) {
			t.Errorf("http://%s: %d %q, want 404 with %q", host, code, body, why)
		}
	}
	g.git("-C", "work", "reset", "--quiet", "--hard", "origin/main")
	g.pushTo("preview/open", "carol/terrane.toml", `env = {}`) // consents to any domain
	g.pushTo("preview/blue", "bob/index.html", "blue")
	e.await("bob's preview", shows(blue, "blue"))
	for host, why := range map[string]string{
		"red--bob-example.preview.test":                    "has a branch preview/red that changes",   // another tenant's
		"green--www-alice-example.preview.test":            "has a branch preview/green that changes", // no such branch
		"red--alice.preview.test":                          "NAME--DOMAIN",                            // a domain's part
		"red--alice-example.preview.test":                  "alice.example",                           // a domain that is not verified
		"red--gone-example.preview.test":                   "gone.example",
		"open--mallory-example.preview.test":               "does not list mallory.example",
		"www.preview.test":                                 "NAME--DOMAIN",
		"preview.test":                                     "NAME--DOMAIN",
		"red--blue--bob-example-preview-test.preview.test": "NAME--DOMAIN",
	} {
		refused(host, why)
	}
	if out, err := terrane(t, "doctor", red, "--admin=http://"+e.edge.admin.Addr().String()); err != nil || !strings.Contains(out, "preview red of www.alice.example") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	if out, err := terrane(t, "releases", "/git/alice/.preview/red", "--admin=http://"+e.edge.admin.Addr().String()); err != nil || !strings.Contains(out, "live since") {
		t.Errorf("releases: %v\n%s", err, out)
	}
	g.git("-C", "work", "push", "--quiet", "origin", ":preview/red")
	e.await("the end of the preview", func() bool { code, _ := e.request("", red, "/"); return code == http.StatusNotFound })
	refused(red, "has a branch preview/red")
	e.want("www.alice.example", "/", 200, "one")
}
