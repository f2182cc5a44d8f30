package ask

import (
	"context"

	"github.com/nats-io/nats.go"
)

// Inbox gets what all edges answer to the questions of one asker. It is for one goroutine.
type Inbox struct {
	conn    *nats.Conn
	sub     *nats.Subscription
	subject string
}

// Open waits for the lattice. So many answers, and bytes of them, wait to be read at
// most; Next tells of those that are lost. The caller closes it.
func Open(ctx context.Context, l Lattice, part string, answers, bytes int) (*Inbox, error) {
	conn, err := l.Conn(ctx)
	if err != nil {
		return nil, err
	}
	sub, err := conn.SubscribeSync(conn.NewInbox())
	if err != nil {
		return nil, err
	}
	i := &Inbox{conn, sub, Subject(part)}
	if err := sub.SetPendingLimits(answers, bytes); err != nil {
		i.Close()
		return nil, err
	}
	return i, nil
}

// Subject is where the questions of a part go.
func Subject(part string) string { return subjects + part }

// Ask puts a question to all edges, this one among them.
func (i *Inbox) Ask(question []byte) error {
	return i.conn.PublishRequest(i.subject, i.sub.Subject, question)
}

// Next is the next answer. The error is nats.ErrSlowConsumer where some were lost, or ctx's.
func (i *Inbox) Next(ctx context.Context) ([]byte, error) {
	m, err := i.sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return m.Data, nil
}

// Close ends it.
func (i *Inbox) Close() {
	_ = i.sub.Unsubscribe() // fails only with the connection
}
