package members

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice"
)

// NATS does not record removals: a leader that was elected or started after one, or five
// minutes later, takes the removed server back with the copies that it has. So removals are
// recorded in the metadata of the stream of the state, which all edges see, and an edge that
// returns finds there that it was removed.
const (
	recordStream  = "KV_terrane_state"
	recordPrefix  = "terrane.removed."
	recordTimeout = 20 * time.Second
)

// recordRemoval records that an edge was removed, with a new identifier.
func (m *Members) recordRemoval(ctx context.Context, edge string) error {
	if edge == "" {
		return errors.New("its name is not known")
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	id, name := rand.Text(), recordPrefix+edge
	for {
		stream, err := m.recordStream(ctx)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return nil // there are no copies that the edge could have
		case err == nil && stream.CachedInfo().Config.Metadata[name] == id:
			return nil
		case err == nil:
			err = m.updateRecord(ctx, stream, name, id)
		}
		if waited := lattice.Pause(ctx, retryForget); waited != nil {
			return errors.Join(err, waited)
		}
	}
}

func (m *Members) recordStream(ctx context.Context) (jetstream.Stream, error) {
	js, err := m.jetStream(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return js.Stream(ctx, recordStream)
}

func (m *Members) updateRecord(ctx context.Context, stream jetstream.Stream, name, id string) error {
	js, err := m.jetStream(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	config := stream.CachedInfo().Config
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[name] = id
	_, err = js.UpdateStream(ctx, config)
	return err
}

// notRecorded is the error of a removal that an edge which returns does not learn of.
func notRecorded(edge string, err error) error {
	return fmt.Errorf("%s is removed, but that could not be recorded: start it only with an empty edge.data: %w", edge, err)
}
