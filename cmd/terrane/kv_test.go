package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/rediskv/redistest"
	"github.com/terrane/terrane/internal/statemove"
)

// TestState restarts an edge for each provider: the lattice and Redis keep what guests
// and operators stored, memory does not.
func TestState(t *testing.T) {
	for provider, kept := range map[string]bool{"lattice": true, "redis": true, "memory": false} {
		t.Run(provider, func(t *testing.T) {
			data, url := t.TempDir(), ""
			if provider == "redis" {
				url = redistest.Start(t, t.TempDir()).URL
			}
			change := func(c *config.Config) {
				c.Edge.Data, c.State.Provider, c.State.URL = data, provider, config.Secret(url)
			}
			e := edgetest.Start(t, change)
			e.Domain("alice.example", "terrane=/sites/alice/")
			e.Deploy("alice", map[string][]byte{"index.wasm": edgetest.File(t, "examples/vote/vote.wasm")})
			e.Await("the guest", func() bool { code, _ := e.Request("alice.example", "alice.example", "/"); return code == 200 })
			keys := kv(t, e, "list", "/sites/alice")
			if keys == "" {
				t.Error("the guest's keys are not listed")
			}
			version := kv(t, e, "put", "/sites/alice", "by hand", "a value")
			if got := kv(t, e, "get", "/sites/alice", "by hand"); got != "a value" {
				t.Errorf("got %q", got)
			}
			e.Stop()

			e = edgetest.Start(t, change)
			if !kept {
				if got := kv(t, e, "list", "/sites/alice"); got != "" {
					t.Errorf("memory has %q", got)
				}
				return
			}
			if got := kv(t, e, "list", "/sites/alice"); !strings.Contains(got, keys) || !strings.Contains(got, "by hand\n") {
				t.Errorf("after the restart %q, before %q", got, keys)
			}
			var entry statemove.Entry
			if err := json.Unmarshal([]byte(kv(t, e, "get", "/sites/alice", "by hand", "--json", "--strict")), &entry); err != nil ||
				string(entry.Bytes()) != "a value" || strings.TrimSpace(version) != strconv.FormatUint(entry.Version, 10) {
				t.Errorf("%+v, %v; the version was %s", entry, err, version)
			}
		})
	}
}

// kv runs terrane kv on the edge.
func kv(t *testing.T, e *edgetest.Edge, args ...string) string {
	t.Helper()
	out, err := terrane(t, append(append([]string{"kv"}, args...), "--admin=http://"+e.Admin.Addr().String())...)
	if err != nil {
		t.Errorf("kv %v: %v", args, err)
	}
	return out
}

func TestKVCommand(t *testing.T) {
	e := edgetest.Start(t, func(c *config.Config) { c.State.Provider, c.State.Keys = "memory", 3 })
	first := strings.TrimSpace(kv(t, e, "put", "/sites/alice", "a\xff", "one"))
	kv(t, e, "put", "/sites/alice", "b", "two", "--ttl", "1h", "--version", "0")
	kv(t, e, "put", "/sites/alice", "", "empty")
	if got := kv(t, e, "list", "/sites/alice", "-n", "10"); got != "\"a\\xff\"\nb\n" {
		t.Errorf("list: %q", got)
	}
	if got := kv(t, e, "list", "/sites/alice", "a", "--json"); strings.TrimSpace(got) != `[{"key_base64":"Yf8="}]` {
		t.Errorf("list --json: %s", got)
	}
	if got := kv(t, e, "get", "/sites/alice", "b", "--json"); !strings.Contains(got, `"value":"two"`) || !strings.Contains(got, `"expires":"`) {
		t.Errorf("get --json: %s", got)
	}
	kv(t, e, "del", "/sites/alice", "b")
	for want, args := range map[string][]string{
		"404 Not Found: no such key": {"get", "/sites/alice", "b"},
		"the key has changed":        {"put", "/sites/alice", "a\xff", "x", "--version", first + "9"},
		"409 Conflict":               {"del", "/sites/alice", "a\xff", "--version", first + "9"},
		"want a duration":            {"put", "/sites/alice", "a", "x", "--ttl", "-1s"},
		"version: want a number":     {"put", "/sites/alice", "a", "x", "--version", "one"},
		"limit: want 1 to 1000":      {"list", "/sites/alice", "-n", "0"},
		"starts with neither":        {"get", "alice", "a"},
		"at most 1048576":            {"put", "/sites/alice", "a", strings.Repeat("x", 1<<20+1)},
	} {
		args = append(append([]string{"kv"}, args...), "--admin=http://"+e.Admin.Addr().String())
		if out, err := terrane(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v %s, want %q", args, err, out, want)
		}
	}
	kv(t, e, "put", "/sites/alice", "c", "x")
	if _, err := terrane(t, "kv", "put", "/sites/alice", "d", "x", "--admin=http://"+e.Admin.Addr().String()); err == nil || !strings.Contains(err.Error(), "507") {
		t.Errorf("beyond the quota: %v", err)
	}
}
