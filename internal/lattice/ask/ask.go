package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	subjects    = "terrane.ask."
	maxQuestion = 4 << 10   // bytes
	maxAnswer   = 256 << 10 // bytes
	atOnce      = 16        // questions being answered
	patience    = 5 * time.Second
)

// Lattice is what questions need of one.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	// Answers has what each part answers, to be encoded as JSON. Questions come from any
	// edge and are not trusted. An error is not told, only logged.
	Answers map[string]func(ctx context.Context, question []byte) (any, error)
	Logger  *slog.Logger // nil discards
}

// Asker asks and answers. Its methods are safe for concurrent use.
type Asker struct {
	o   Options
	log *slog.Logger
}

// New starts nothing.
func New(o Options) *Asker {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Asker{o, o.Logger}
}

// Answer is an edge's.
type Answer struct {
	Edge string          `json:"edge"`
	Data json.RawMessage `json:"data"`
}

// Run answers until ctx ends.
func (a *Asker) Run(ctx context.Context) error {
	conn, err := a.o.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	questions := make(chan *nats.Msg, atOnce)
	var subs []*nats.Subscription
	for part := range a.o.Answers {
		sub, err := conn.ChanSubscribe(Subject(part), questions)
		if err != nil {
			return err
		}
		subs = append(subs, sub)
	}
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for {
		select {
		case <-ctx.Done():
			for _, sub := range subs {
				err = errors.Join(err, sub.Unsubscribe())
			}
			wg.Wait()
			return err
		case m := <-questions:
			select {
			case places <- struct{}{}:
			default:
				continue
			}
			wg.Go(func() {
				defer func() { <-places }()
				a.answer(ctx, m)
			})
		}
	}
}

func (a *Asker) answer(ctx context.Context, m *nats.Msg) {
	if len(m.Data) > maxQuestion || m.Reply == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	value, err := a.o.Answers[m.Subject[len(subjects):]](ctx, m.Data)
	var data []byte
	if err == nil {
		data, err = json.Marshal(value)
	}
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("an answer of %d bytes", len(data))
	}
	if err == nil {
		data, err = json.Marshal(Answer{a.o.Lattice.Name(), data})
	}
	if err == nil {
		err = m.Respond(data)
	}
	if err != nil {
		a.log.Warn("a question was not answered", "subject", m.Subject, "err", err)
	}
}

// All asks every edge, and yields the answers as they come until n have, or ctx ends.
func (a *Asker) All(ctx context.Context, part string, question []byte, n int) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		if err := a.all(ctx, part, question, n, yield); err != nil {
			yield(Answer{}, err)
		}
	}
}

func (a *Asker) all(ctx context.Context, part string, question []byte, n int, yield func(Answer, error) bool) error {
	inbox, err := Open(ctx, a.o.Lattice, part, n+1, 8<<20)
	if err != nil {
		return err
	}
	defer inbox.Close()
	if err := inbox.Ask(question); err != nil {
		return err
	}
	for range n {
		data, err := inbox.Next(ctx)
		if err != nil {
			return nil //nolint:nilerr // who has not answered is not there
		}
		var answer Answer
		if len(data) > maxAnswer+maxQuestion || json.Unmarshal(data, &answer) != nil {
			continue
		}
		if !yield(answer, nil) {
			return nil
		}
	}
	return nil
}
