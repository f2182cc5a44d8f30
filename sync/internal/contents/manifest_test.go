package contents

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/sync/internal/origin"
	"github.com/terrane/terrane/tenant"
)

func TestManifest(t *testing.T) {
	files := map[string]mirror.File{"api.wasm": {}, "style.css": {}}
	got, err := decodeManifest([]byte(`
domains = ["Example.com", "*.bücher.example"]
regions = ["ams", "fra"]
[env]
GREETING = "hello"
[limits]
memory = "32MiB"
cpu = "1s"
concurrency = 3
[fetch]
allow = ["api.example.com"]
[state]
strict = true
[[route]]
path = "/api/*"
module = "api.wasm"
[[cron]]
schedule = "*/5 * * * *"
path = "/tick"
[[subscribe]]
subject = "orders.*"
path = "/orders"
`), files)
	want := tenant.Manifest{
		Domains: []tenant.Pattern{"example.com", "*.xn--bcher-kva.example"},
		Env:     map[string]string{"GREETING": "hello"},
		Limits:  tenant.Limits{Memory: 32 << 20, CPU: time.Second, Concurrency: 3},
		Fetch:   tenant.Fetch{Allow: []string{"api.example.com"}},
		Routes:  []tenant.Route{{Path: "/api/*", Module: "api.wasm"}},
		Crons:   []tenant.Cron{{Schedule: "*/5 * * * *", Path: "/tick"}},
		Regions: []string{"ams", "fra"},
		State:   tenant.State{Strict: true},

		Subscriptions: []tenant.Subscription{{Subject: "orders.*", Path: "/orders"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := decodeManifest(nil, nil); err != nil || got.Domains != nil {
		t.Errorf("an empty manifest: %+v, %v", got, err)
	}
	if got, err := decodeManifest([]byte("domains = []"), nil); err != nil || got.Domains == nil {
		t.Errorf("an empty list of domains: %+v, %v; no domain may name the folder", got, err)
	}

	_, err = decodeManifest([]byte(`domains = ["no_name", "*.*.example.com", "192.0.2.1"]
title = "x"
[limits]
memory = "-1"
concurrency = -1
[env]
"A=B" = "1"
[[route]]
path = "/a/../b"
module = "style.css"
[[cron]]
schedule = "daily"
path = "tick"
[[cron]]
schedule = "0 0 30 2 *"
path = "/never"
[[subscribe]]
subject = "orders.>.x"
path = "orders"
`), files)
	if !errors.Is(err, origin.ErrRefused) {
		t.Fatalf("error %v is no refusal", err)
	}
	for _, want := range []string{
		"terrane.toml:1: domains[0]", "terrane.toml:1: domains[1]", "terrane.toml:1: domains[2]",
		"terrane.toml:2: title: unknown key", "terrane.toml:4: limits.memory", "terrane.toml:5: limits.concurrency",
		"terrane.toml:7: env.A=B", "terrane.toml:9: route[0].path", "terrane.toml:10: route[0].module",
		"terrane.toml:12: cron[0].schedule", "terrane.toml:13: cron[0].path",
		"terrane.toml:15: cron[1].schedule", "terrane.toml:18: subscribe[0].subject", "terrane.toml:19: subscribe[0].path",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestManifestSchedules(t *testing.T) {
	const never = "no such date ever comes"
	for schedule, want := range map[string]string{
		"0 0 30 2 *": never, "0 0 31 2,4,6,9,11 *": never, "0 0 29 2 *": "", "0 0 30 2 1": "", "0 0 31 4,5 *": "",
		"60 * * * *": "above maximum (59)", "a * * * *": "failed to parse int", "@daily": "want five fields", "0 0 0 1 1 *": "want five fields",
		"TZ=UTC 0 0 * * *": "times are UTC", "CRON_TZ=UTC 0 0 * * *": "times are UTC",
	} {
		_, err := decodeManifest([]byte("[[cron]]\nschedule = \""+schedule+"\"\npath = \"/a\""), nil)
		switch {
		case (err == nil) != (want == ""), err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %q", schedule, err, want)
		case err != nil && want != "want five fields" && strings.Contains(err.Error(), "five fields"):
			t.Errorf("%q has five fields: %v", schedule, err)
		}
	}
}

func TestManifestPathsOfRequests(t *testing.T) {
	for path, want := range map[string]string{"/caf%C3%A9": "", "/50%25": "", "/a?b=c": "", "/50%": "write \"%\" as \"%25\"", "/%zz": "invalid URL escape"} {
		for _, table := range []string{"[[cron]]\nschedule = \"* * * * *\"", "[[subscribe]]\nsubject = \"a\""} {
			_, err := decodeManifest([]byte(table+"\npath = \""+path+"\""), nil)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %q: %v, want %q", path, table, err, want)
			}
		}
	}
}

// An editor's byte order mark is no part of the text.
func TestManifestByteOrderMark(t *testing.T) {
	m, err := decodeManifest([]byte("\ufeffdomains = [\"a.example\"]"), nil)
	if err != nil || len(m.Domains) != 1 {
		t.Errorf("%v, %v", m.Domains, err)
	}
	if _, err := decodeManifest([]byte("\ufeffa = 1"), nil); err == nil || !strings.Contains(err.Error(), "terrane.toml:1: a: unknown key") {
		t.Errorf("got %v", err)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte("domains = [\"a.example\"]\n[limits]\nmemory = \"1MiB\""))
	f.Add([]byte("[[route]]\npath = \"/*\"\nmodule = \"a.wasm\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data, map[string]mirror.File{"a.wasm": {}})
		if err != nil && !errors.Is(err, origin.ErrRefused) {
			t.Errorf("error %v is no refusal", err)
		}
		for _, d := range m.Domains {
			if p, err := tenant.ParsePattern(string(d)); err != nil || p != d {
				t.Errorf("domain %q is not canonical", d)
			}
		}
	})
}
