package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/edge/edgetest"
	tenantsync "github.com/terrane/terrane/sync"
)

func TestReleasesAndRollback(t *testing.T) {
	g := edgetest.NewGitStore(t)
	first := g.Push("alice/index.html", "one")
	e := edgetest.Start(t, g.Store(50*time.Millisecond))
	at := "--admin=http://" + e.Admin.Addr().String()
	e.Domain("alice.example", "terrane=/git/alice/")
	shows := func(want string) func() bool {
		return func() bool { _, body := e.Request("alice.example", "alice.example", "/"); return body == want }
	}
	e.Await("the first release", shows("one"))
	second := g.Push("alice/index.html", "two")
	if out, err := terrane(t, "status", at, "--wait", second); err != nil || !strings.Contains(out, second[:7]) {
		t.Fatalf("status --wait: %v\n%s", err, out)
	}

	out, err := terrane(t, "releases", "/git/alice/", at)
	if lines := strings.Split(out, "\n"); err != nil || len(lines) != 3 || !strings.HasPrefix(lines[0], second) ||
		!strings.Contains(lines[0], "live since") || !strings.HasPrefix(lines[1], first) || strings.Contains(lines[1], "live") {
		t.Errorf("releases: %v\n%s", err, out)
	}
	if out, err := terrane(t, "rollback", "/git/alice", first[:8], at, "--reason", "it fails"); err != nil || out != "" {
		t.Errorf("rollback: %v %s", err, out)
	}
	if !shows("one")() {
		t.Error("rolled back, and not live")
	}
	for _, command := range [][]string{{"releases", "/git/alice", at}, {"status", at}} {
		if out, err = terrane(t, command...); err != nil || !strings.Contains(out, whoami()+" at test (it fails) until the folder changes") {
			t.Errorf("%v: %v\n%s", command, err, out)
		}
	}
	out, err = terrane(t, "releases", "/git/alice", at, "--json")
	var list []tenantsync.Release
	if err != nil || json.Unmarshal([]byte(out), &list) != nil || len(list) != 2 || !list[0].Live || !list[0].Pinned || list[0].Pin.By != whoami() || list[1].Live || list[1].Pinned || string(list[0].Revision) != first {
		t.Errorf("releases --json: %v\n%s", err, out)
	}
	g.Push("alice/index.html", "three")
	e.Await("the next push", shows("three"))

	for want, args := range map[string][]string{
		"not known here":        {"rollback", "/git/alice", "0000000"},
		"at least 7 characters": {"rollback", "/git/alice", "00"},
		`"HEAD~1" is a name that only a clone can resolve: want the commit, which git rev-parse HEAD~1 prints`: {"rollback", "/git/alice", "HEAD~1"},
		`"HEAD~10" is a name`:  {"rollback", "/git/alice", "HEAD~10"},
		"/git/nobody: not":     {"rollback", "/git/nobody", first},
		"tenant /git/bob: not": {"releases", "/git/bob"},
		"starts with neither":  {"releases", "bob"},
	} {
		if out, err := terrane(t, append(args, at)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v %s, want %q", args, err, out, want)
		}
	}
}

func TestStatusWait(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "one")
	e := edgetest.Start(t, g.Store(50*time.Millisecond))
	at := "--admin=http://" + e.Admin.Addr().String()
	broken := g.Push("alice/index.wasm", "no module")
	for want, args := range map[string][]string{
		"is not live at test: /git/alice: index.wasm": {"--wait", broken[:12]},
		"0123456789 is not live at test after 200ms":  {"--wait", "0123456789", "--timeout", "200ms"},
		"no edge answers":                                       {"--wait", broken, "--admin=http://127.0.0.1:1"},
		"want at least 7 characters":                            {"--wait", "0123"},
		`"@" is a name that only`:                               {"--wait", "@"},
		`"origin/main" is a name`:                               {"--wait", "origin/main"},
		"is not live at no edge after 1ns: see what its stores": {"--wait", broken, "--timeout", "1ns"},
	} {
		args := append([]string{"status", at}, args...)
		if out, err := terrane(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v\n%s, want %q", args, err, out, want)
		}
	}
	mended := g.Push("alice/index.wasm", string(edgetest.File(t, "examples/hello-wat/hello.wasm")))
	out, err := terrane(t, "status", at, "--wait", mended, "--json")
	var s admin.Status
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.Sync.Stores[0].Head != mended {
		t.Errorf("status --wait --json: %v\n%s", err, out)
	}
}
