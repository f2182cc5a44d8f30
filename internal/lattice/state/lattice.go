package state

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Lattice is what this package needs of *lattice.Lattice.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	JetStream(ctx context.Context) (jetstream.JetStream, error)
	Name() string
	Domain() string
	External() bool
	Replicas() int
	DiskLow() bool
	LeadsJetStream() bool

	// Follower, Lacks, Resync and Unreadable are about the server's files.
	Follower(stream string) error
	Lacks(stream string) bool
	Resync(ctx context.Context, stream, group string) error
	Unreadable() error
}
