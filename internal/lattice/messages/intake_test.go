package messages

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/tenant"
)

// TestOlderConsumer: messages arrive by a consumer that an older edge has made, whose
// storage is not what it would be now.
func TestOlderConsumer(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	m, err := New(Options{Lattice: net.Node("ams1").Lattice})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Node("ams1").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := &intake{m: m, conn: conn, asks: make(chan *nats.Msg, 1), open: make(map[tenant.ID]*subscriber)}
	defer in.close()
	why := func() string { return err.Error() }
	latticetest.Await(t, func() bool { err = in.makeStream(t.Context()); return err == nil }, why)
	const id = "/git/alice"
	latticetest.Await(t, func() bool {
		_, err = in.js.CreateOrUpdateConsumer(t.Context(), m.stream(), jetstream.ConsumerConfig{
			Durable: token(id), FilterSubject: keptSubject(id, "ams", ">"), AckPolicy: jetstream.AckExplicitPolicy, MemoryStorage: true,
		})
		return err == nil
	}, why)
	if err := in.listen(id); err != nil {
		t.Fatal(err)
	}
	latticetest.Await(t, func() bool { err = in.consume(t.Context(), id); return err == nil }, why)
}
