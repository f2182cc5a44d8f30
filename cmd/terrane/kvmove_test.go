package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/rediskv/redistest"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// TestStateMoves moves state from provider to provider.
func TestStateMoves(t *testing.T) {
	start := func(provider string) *edgetest.Edge {
		return edgetest.Start(t, func(c *config.Config) {
			if c.State.Provider = provider; provider == "redis" {
				c.State.URL = config.Secret(redistest.Start(t, t.TempDir()).URL)
			}
		})
	}
	const listed = 1000 // one answer of a store names that many keys
	from := start("lattice")
	put := func(id tenant.ID, key, value string, expires time.Time) {
		t.Helper()
		if _, err := from.State(id, false).Put(t.Context(), key, []byte(value), 0, expires); err != nil {
			t.Fatal(err)
		}
	}
	soon := time.Now().Add(time.Hour).Round(0)
	put("/sites/alice", "", "the empty key", time.Time{})
	put("/sites/alice", "a\xff", "\xfe\x00", soon)
	put("/sites/alice", "largest", strings.Repeat("\x00", hostcalls.KVValueMax), time.Time{})
	put("/sites/alice", "empty", "", time.Time{})
	for i := range listed + 7 {
		put("/sites/bob", fmt.Sprintf("key%04d", i), "value", time.Time{})
	}
	text := kv(t, from, "export")
	want := entries(t, text)
	if len(want) != listed+11 || !strings.Contains(text, `"entries":1011}`) {
		t.Fatalf("%d entries are exported", len(want))
	}
	for _, provider := range []string{"redis", "memory", "lattice"} {
		to := start(provider)
		if got := kvImport(t, to, text, ""); got != "1011 entries imported, 0 were there already, 0 have expired\n" {
			t.Errorf("%s: %s", provider, got)
		}
		text = kv(t, to, "export")
		if got := entries(t, text); !slices.Equal(got, want) {
			t.Errorf("%s has %d entries, others than were exported", provider, len(got))
		}
		from = to
	}
	if got := entries(t, kv(t, from, "export", "/sites/alice")); len(got) != 4 {
		t.Errorf("one tenant has %q", got)
	}
	entry := `{"tenant":"/sites/bob","key":"key0000","value":"another"}` + "\n"
	gone := fmt.Sprintf(`{"tenant":"/sites/bob","key":"gone","value":"","expires":%q}`+"\n", time.Now().Add(-time.Second).Format(time.RFC3339Nano))
	if got := kvImport(t, from, entry+gone+`{"entries":2}`, ""); got != "0 entries imported, 1 were there already, 1 have expired; 1 of those that were there have other values, which stay (--replace replaces them)\n" {
		t.Error(got)
	}
	if kvImport(t, from, entry+`{"entries":1}`, "", "--replace"); kv(t, from, "get", "/sites/bob", "key0000") != "another" {
		t.Error("the value was not replaced")
	}
	for want, text := range map[string]string{
		"cut short: its last line is missing":      entry,
		"should have 3 entries: lines are missing": entry + `{"entries":3}`,
		"the export failed: no majority":           entry + `{"error":"no majority"}`,
		"line 2 is of no export":                   entry + "something",
		"line 1: tenant: ":                         `{"tenant":"bob","key":"k","value":"v"}`,
		"a key of at most 1024 bytes":              `{"tenant":"/sites/bob","key":"` + strings.Repeat("k", 1025) + `"}` + "\n" + `{"entries":1}`,
		"the store is full":                        `{"tenant":"/sites/full","key":"k","value":"` + strings.Repeat("v", 1<<10) + `"}` + "\n" + `{"entries":1}`,
	} {
		if strings.Contains(want, "full") {
			from = edgetest.Start(t, func(c *config.Config) { c.State.Provider, c.State.Bytes = "memory", 1000 })
		}
		kvImport(t, from, text, want)
	}
}

// kvImport runs terrane kv import, which must fail as said, if anything is.
func kvImport(t *testing.T, e *edgetest.Edge, text, fails string, args ...string) string {
	t.Helper()
	cmd := newCommand()
	var out bytes.Buffer
	cmd.SetArgs(append([]string{"kv", "import", "--admin=http://" + e.Admin.Addr().String()}, args...))
	cmd.SetIn(strings.NewReader(text))
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(t.Context())
	if fails == "" && err != nil || fails != "" && (err == nil || !strings.Contains(err.Error(), fails)) {
		t.Errorf("import: %v, want %q", err, fails)
	}
	return out.String()
}

// entries are an export's, without their versions.
func entries(t *testing.T, text string) (list []string) {
	t.Helper()
	if _, err := statemove.Read(strings.NewReader(text), func(m *statemove.Line) error {
		m.Version = 0
		if m.Expires != nil {
			utc := m.Expires.UTC()
			m.Expires = &utc
		}
		line, err := json.Marshal(m)
		list = append(list, string(line))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func FuzzReadMoved(f *testing.F) {
	f.Add([]byte(`{"tenant":"/sites/bob","key":"k","value_base64":"AA=="}` + "\n" + `{"entries":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		end, err := statemove.Read(bytes.NewReader(data), func(m *statemove.Line) error {
			if _, err := tenant.ParseID(string(m.Tenant)); err != nil {
				t.Error(err)
			}
			return nil
		})
		if err == nil && end.Entries == nil {
			t.Error("an end that is none")
		}
	})
}
