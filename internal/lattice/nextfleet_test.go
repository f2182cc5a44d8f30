package lattice_test

import (
	"context"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/tenant"
)

// emptyEdge serves nothing.
type emptyEdge struct{ offered chan tenant.Served }

func (emptyEdge) ServedStores() []tenant.ServedStore { return []tenant.ServedStore{{Prefix: "/git/"}} }

func (emptyEdge) Served(string, func(int) bool) []tenant.Served { return nil }

func (emptyEdge) OpenServed(tenant.ID, tenant.Hash, tenant.Hash) (io.ReadSeekCloser, int64, error) {
	return nil, 0, fs.ErrNotExist
}

func (e emptyEdge) Offer(list []tenant.Served) {
	for _, s := range list {
		e.offered <- s
	}
}

func nextFleet(l *lattice.Lattice, n next) {
	const id = tenant.ID("/git/alice")
	sums := make([]string, tenant.Buckets)
	for i := range sums {
		sums[i] = strings.Repeat("0", 32)
	}
	sums[id.Bucket()] = strings.Repeat("1", 32)
	n.answer("terrane.fleet.ams1.ams2.sums", &nats.Msg{Data: []byte(`{"format":9,"buckets":["` + strings.Join(sums, `","`) + `"],"took":1}`)})
	n.answer("terrane.fleet.ams1.ams2.served", &nats.Msg{Data: []byte(`{"format":9,"served":[{"id":"/git/alice","revision":"abc","time":"2026-01-01T00:00:00Z",
		"content":"` + strings.Repeat("a", 64) + `","engine":"x","pin":{"at":"2026-01-01T00:00:00Z","kind":"canary","by":"op"}}]}`)})
	e := emptyEdge{make(chan tenant.Served, 64)}
	f, err := fleet.New(fleet.Options{
		Lattice: l, Wait: time.Minute,
		Peers: func() []fleet.Peer { return []fleet.Peer{{Name: "ams2", Sums: map[string]tenant.Sum{"/git/": {1}}}} },
	})
	if err != nil {
		n.t.Fatal(err)
	}
	latticetest.Run(n.t, func(ctx context.Context) error { return f.Run(ctx, e) })
	if got := <-e.offered; got.ID != id || got.Revision != "abc" || got.Pin == nil || got.Pin.By != "op" {
		n.t.Errorf("offered %+v", got)
	}
	<-f.Known()
	n.say("terrane.fleet.ams2.ams1.horoscope", `{}`)
	latticetest.Await(n.t, func() bool {
		m, err := n.Request("terrane.fleet.ams2.ams1.sums", []byte(`{"format":9,"prefix":"/git/","depth":2}`), time.Second)
		return err == nil && m.Header.Get("Terrane-Error") == "" && strings.Contains(string(m.Data), `"buckets"`)
	}, nil)
}
