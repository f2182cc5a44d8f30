package lattice_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// TestDamagedMeta damages the small files of a stream's configuration while the only edge
// that has it is down.
func TestDamagedMeta(t *testing.T) {
	t.Parallel()
	node := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}).Node("ams1")
	bucket := func() jetstream.KeyValue {
		js, err := node.JetStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kv, err := js.KeyValue(t.Context(), "test")
		if err != nil {
			t.Fatal(err)
		}
		return kv
	}
	js, err := node.JetStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(node.Dir(), "jetstream", "$G", "streams", "KV_test")
	copied := filepath.Join(node.Dir(), "integrity", "KV_test.meta")
	latticetest.Await(t, func() bool { _, err := os.Stat(copied); return err == nil }, nil)
	for _, name := range []string{"meta.inf", "meta.sum"} {
		for how, damage := range map[string]func(data []byte) []byte{
			"flip":     func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
			"truncate": func(data []byte) []byte { return data[:len(data)/2] },
			"zero":     func(data []byte) []byte { clear(data); return data },
			"remove":   func([]byte) []byte { return nil },
		} {
			node.Stop()
			path := filepath.Join(dir, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if data = damage(data); data == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			node.Start()
			e, err := bucket().Get(t.Context(), "key")
			if err != nil || string(e.Value()) != "value" {
				t.Errorf("%s of %s: %v", how, name, err)
			}
		}
	}
}
