package messages

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

// salvaged is the suffix of the file, next to the record, with what could be read of a damaged
// stream. It is there until the stream has it again.
const salvaged = ".salvaged.jsonl"

// line is one of that file: a message, or the end.
type line struct {
	Subject string      `json:"subject,omitempty"`
	Header  nats.Header `json:"header,omitempty"`
	Body    []byte      `json:"body,omitempty"`
	End     bool        `json:"end,omitempty"`
}

// rebuild empties the stream and publishes again what can be read of it, under sequences that
// were not given out: a server that has a broken message goes back to it at each start.
func (m *Messages) rebuild(ctx context.Context, r *record) (n int, err error) {
	path := m.opts.Ledger + salvaged
	s, err := m.existing(ctx)
	if err != nil {
		return 0, err
	}
	whole := false
	err = eachLine(path, func(l *line) error { whole = whole || l.End; return nil })
	if err != nil || !whole {
		if err := salvage(ctx, s, path); err != nil {
			return 0, err
		}
	}
	info, err := s.Info(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.Purge(ctx, jetstream.WithPurgeSequence(max(info.State.LastSeq, r.ledger.Last())+1)); err != nil {
		return 0, err
	}
	r.mu.Lock()
	clear(r.waiting)
	r.mu.Unlock()
	if err := r.ledger.Rewrite(info.Created.UnixNano(), func(func(integrity.Entry) bool) {}); err != nil {
		return 0, err
	}
	js, err := m.jetStream(ctx)
	if err != nil {
		return 0, err
	}
	err = eachLine(path, func(l *line) error {
		if l.End {
			return nil
		}
		ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: l.Subject, Header: l.Header, Data: l.Body}, jetstream.WithExpectStream(m.stream()))
		if err != nil {
			return err
		}
		r.accepted(ack.Sequence, l.Body)
		n++
		return nil
	})
	if err != nil {
		return n, err
	}
	return n, os.Remove(path)
}

// salvage writes what can be read to a file.
func salvage(ctx context.Context, s jetstream.Stream, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the edge's data folder
	if err != nil {
		return err
	}
	lines := json.NewEncoder(f)
	for next := uint64(1); err == nil; {
		var m *jetstream.RawStreamMsg
		m, err = s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = lines.Encode(line{End: true})
			break
		}
		if err == nil {
			err = lines.Encode(line{Subject: m.Subject, Header: m.Header, Body: m.Data})
			next = m.Sequence + 1
		}
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func eachLine(path string, do func(*line) error) error {
	f, err := os.Open(path) //nolint:gosec // the edge's data folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read
	for lines := json.NewDecoder(f); ; {
		var l line
		if err := lines.Decode(&l); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := do(&l); err != nil {
			return err
		}
	}
}
