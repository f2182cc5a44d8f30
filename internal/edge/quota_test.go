package edge_test

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/tenant"
)

// TestQuota has a guest write beyond what its tenant may keep: with as many keys as it
// may have (TERRANE_KEYS sets how many), with as many bytes, and with a value of 10 MB.
func TestQuota(t *testing.T) {
	keys := 5_000
	if n, err := strconv.Atoi(os.Getenv("TERRANE_KEYS")); err == nil {
		keys = n
	}
	quota := 140*keys + 4<<20
	e := edgetest.Start(t, func(c *config.Config) {
		c.State.Keys = keys
		if err := c.State.Bytes.UnmarshalText([]byte(strconv.Itoa(quota))); err != nil {
			t.Fatal(err)
		}
		if err := c.Limits.RequestBody.UnmarshalText([]byte("16MiB")); err != nil {
			t.Fatal(err)
		}
	})
	guest := map[string][]byte{"index.wasm": edgetest.File(t, "cmd/terrane/testdata/guests/keep.wasm")}
	hosts := []string{"alice.example", "bob.example"}
	for _, name := range []string{"alice", "bob"} {
		e.Domain(name+".example", "terrane=/sites/"+name+"/")
		e.Deploy(name, guest)
	}
	keep := func(host, path string, bytes int) int {
		code, _ := e.Send(http.MethodPost, host, host, path, strings.Repeat("v", bytes))
		return code
	}
	for _, host := range hosts {
		e.Await(host, func() bool { return keep(host, "/first", 1) == 200 })
	}
	kv := e.State("/sites/alice", true)
	// refused expects that a request is refused, changes nothing, and says why in the
	// tenant's log alone; others go on.
	refused := func(path string, bytes int, why string) {
		t.Helper()
		before, had := kv.Get(t.Context(), path)
		if code := keep(hosts[0], path, bytes); code != 500 {
			t.Errorf("%s with %d bytes: %d", path, bytes, code)
		}
		if after, has := kv.Get(t.Context(), path); after.Version != before.Version || errors.Is(has, hostcalls.ErrNotFound) != errors.Is(had, hostcalls.ErrNotFound) {
			t.Errorf("%s was at %d, %v and is at %d, %v", path, before.Version, had, after.Version, has)
		}
		for name, want := range map[tenant.ID]bool{"/sites/alice": true, "/sites/bob": false} {
			has := false
			for l := range e.Logs.Read(t.Context(), name, 10, false) {
				has = has || strings.Contains(l.Text, why)
			}
			if has != want {
				t.Errorf("the log of %s says %q: %v", name, why, has)
			}
		}
		if code := keep(hosts[1], path, 100); code != 200 {
			t.Errorf("the other tenant: %d", code)
		}
	}
	refused("/large", 10_000_000, "more than 1048576: keep it under several keys")

	begun := time.Now()
	var fill errgroup.Group
	fill.SetLimit(32)
	for i := range keys - 1 {
		fill.Go(func() error {
			_, err := kv.Put(t.Context(), strconv.Itoa(i), nil, 0, time.Time{})
			return err
		})
	}
	if err := fill.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d keys in %s", keys, time.Since(begun))
	refused("/one-more", 1, "delete keys or shrink values")
	if code := keep(hosts[0], "/first", 2); code != 200 {
		t.Errorf("a key that is there: %d", code)
	}

	large := []byte(strings.Repeat("v", 1<<20))
	for i := 0; ; i++ { // the bytes, in keys that are there
		e, err := kv.Get(t.Context(), strconv.Itoa(i))
		if err == nil {
			_, err = kv.Put(t.Context(), strconv.Itoa(i), large, e.Version, time.Time{})
		}
		if errors.Is(err, hostcalls.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	refused("/first", 1<<20, "delete keys or shrink values")
	if code := keep(hosts[0], "/first", 1); code != 200 {
		t.Errorf("a smaller value: %d", code)
	}
}
