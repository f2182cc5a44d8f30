package cron_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// TestDamagedRecords damages what an edge alone keeps of cron while it is down: lines fire
// again, and none fires twice.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	flip := func(of string) func(data []byte) []byte {
		return func(data []byte) []byte {
			for at := 0; ; at++ { // in all revisions that the block still has
				next := bytes.Index(data[at:], []byte(of))
				if next < 0 {
					return data
				}
				at += next
				data[at+len(of)] ^= 1
			}
		}
	}
	for name, damage := range map[string]func(data []byte) []byte{
		"leader": flip("$KV.terrane_cron.leade"),
		"line":   flip(`{"due":`),
		"cut":    func(data []byte) []byte { return data[:len(data)/2] },
		"zero":   func(data []byte) []byte { clear(data); return data },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, latticetest.Region{Name: "ams", Edges: 1})
			f.set(nil, "/tick")
			f.next()
			f.next()
			node := f.net.Node("ams1")
			f.stops["ams1"]()
			node.Stop()
			paths, err := filepath.Glob(filepath.Join(node.Dir(), "jetstream", "$G", "streams", "KV_terrane_cron", "msgs", "*.blk"))
			if err != nil || len(paths) == 0 {
				t.Fatal(paths, err)
			}
			for _, path := range paths {
				data, err := os.ReadFile(path)
				if err == nil {
					err = os.WriteFile(path, damage(data), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			node.Start()
			f.run(node)
			f.set(nil, "/tick")
			f.next()
			f.next()
		})
	}
}
