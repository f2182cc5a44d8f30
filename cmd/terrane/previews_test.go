package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

// TestPreviews: a branch is shown at the name made of it and of a domain that shows the
// tenant, and at no other.
func TestPreviews(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "one")
	g.Push("bob/index.html", "bob")
	g.Push("carol/terrane.toml", `domains = ["carol.example"]`)
	e := edgetest.Start(t, func(c *config.Config) {
		g.Store(50 * time.Millisecond)(c)
		c.Preview.Domain = "preview.test"
	})
	e.Domain("www.alice.example", "terrane=/git/alice/")
	e.Domain("bob.example", "terrane=/git/bob/")
	e.Domain("mallory.example", "terrane=/git/carol/")
	e.Domain("gone.example")
	shows := func(host, want string) func() bool {
		return func() bool { _, body := e.Request(host, host, "/"); return body == want }
	}
	e.Await("the branch itself", shows("www.alice.example", "one"))
	const red, blue = "red--www-alice-example.preview.test", "blue--bob-example.preview.test"
	g.PushTo("preview/red", "alice/index.html", "red")
	e.Await("the preview", shows(red, "red"))
	e.Want("www.alice.example", "/", 200, "one")
	e.Want(red, "/.well-known/terrane", 200, "\"preview\": true,\n    \"host\": \"www.alice.example\"")

	// An edge must give no certificate to names that show nothing.
	refused := func(host, why string) {
		t.Helper()
		if _, body := e.Request(host, host, "/"); !strings.Contains(body, "remote error: tls") {
			t.Errorf("https://%s: %q, want a refused handshake", host, body)
		}
		if code, body := e.Request("", host, "/"); code != http.StatusNotFound || !strings.Contains(body, why) {
			t.Errorf("http://%s: %d %q, want 404 with %q", host, code, body, why)
		}
	}
	g.Git("-C", "work", "reset", "--quiet", "--hard", "origin/main")
	g.PushTo("preview/open", "carol/terrane.toml", `env = {}`) // consents to any domain
	g.PushTo("preview/blue", "bob/index.html", "blue")
	e.Await("bob's preview", shows(blue, "blue"))
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
	if out, err := terrane(t, "doctor", red, "--admin=http://"+e.Admin.Addr().String()); err != nil || !strings.Contains(out, "preview red of www.alice.example") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	if out, err := terrane(t, "releases", "/git/alice/.preview/red", "--admin=http://"+e.Admin.Addr().String()); err != nil || !strings.Contains(out, "live since") {
		t.Errorf("releases: %v\n%s", err, out)
	}
	g.Git("-C", "work", "push", "--quiet", "origin", ":preview/red")
	e.Await("the end of the preview", func() bool { code, _ := e.Request("", red, "/"); return code == http.StatusNotFound })
	refused(red, "has a branch preview/red")
	e.Want("www.alice.example", "/", 200, "one")
}
