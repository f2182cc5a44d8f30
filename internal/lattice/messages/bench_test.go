package messages_test

import (
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// BenchmarkRequest is what hostcall_request costs beside the guests: at the edge itself,
// from one edge to another of a cluster, and to a leaf in another region.
func BenchmarkRequest(b *testing.B) {
	for _, by := range []string{"ams1", "ams2", "fra1"} {
		b.Run("by "+by, func(b *testing.B) {
			net := latticetest.Start(b, latticetest.Region{Name: "ams", Edges: 2}, latticetest.Region{Name: "fra", Edges: 1})
			e := start(b, net.Node("ams1"), names(net.Node("ams1")))
			if by == "ams1" {
				e.Set(alice, orders)
			} else {
				start(b, net.Node(by), names(net.Node(by))).Set(alice, orders)
			}
			for e.ask(b) != by {
				b.Fatal("another edge answers")
			}
			for b.Loop() {
				e.ask(b)
			}
		})
	}
}

// BenchmarkPublish is until a message is on the disks of a majority: one guest at a
// time, and 16.
func BenchmarkPublish(b *testing.B) {
	for _, edges := range []int{1, 3} {
		net := latticetest.Start(b, latticetest.Region{Name: "ams", Edges: edges})
		for _, node := range net.Nodes() {
			start(b, node, names(node)).Set(alice, orders)
		}
		guest := start(b, net.Node("ams1"), names(net.Node("ams1"))).Of(alice, orders)
		msg := &hostcalls.Message{Subject: "orders.new", Body: []byte("7"), Hops: 1}
		for guest.Publish(limit(b), msg) != nil {
		}
		name := map[int]string{1: "alone", 3: "cluster of 3"}[edges]
		publish := func(b *testing.B) {
			for guest.Publish(b.Context(), msg) != nil { // too many wait
				if b.Context().Err() != nil {
					b.Fatal(b.Context().Err())
				}
			}
		}
		b.Run(name+", one", func(b *testing.B) {
			for b.Loop() {
				publish(b)
			}
		})
		b.Run(name+", 16", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					publish(b)
				}
			})
		})
	}
}
