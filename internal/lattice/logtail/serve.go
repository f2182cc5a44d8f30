package logtail

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/terrane/terrane/internal/lattice/ask"
)

const (
	part = "logs" // of the questions that edges are asked

	again     = 5 * time.Second  // between two questions of one asker
	impatient = 15 * time.Second // without a question a stream ends

	maxStreams   = 32
	maxQuestion  = 4 << 10 // bytes
	maxLines     = 10_000  // from each edge, to begin with
	perSecond    = 2000    // lines of one stream
	maxAnswer    = 128 << 10
	firstAnswers = 2 * time.Second // how long edges get to send what they have
)

// Line is one line of a tenant's log.
type Line struct {
	Edge    string     `json:"edge,omitempty"`
	Time    time.Time  `json:"time"`
	Level   slog.Level `json:"level"`
	Request string     `json:"request,omitempty"`
	Module  string     `json:"module,omitempty"`
	Text    string     `json:"text"`
}

// Lattice is what this package needs of *lattice.Lattice.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	// Read yields the last n lines of this edge, one zero Line, and with follow each new
	// one until ctx ends.
	Read func(ctx context.Context, tenant string, n int, follow bool) iter.Seq[Line]
	// Edges are the ones that are there.
	Edges  func() []string
	Logger *slog.Logger // nil discards
}

// Logs asks and answers. Its methods are safe for concurrent use.
type Logs struct {
	o   Options
	log *slog.Logger
}

// New starts nothing.
func New(o Options) *Logs {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Logs{o, o.Logger}
}

// question opens a stream, and keeps it open.
type question struct {
	ID     string `json:"id"` // of the stream
	Tenant string `json:"tenant"`
	Lines  int    `json:"lines"`
	Follow bool   `json:"follow"`
}

// answer is one message of a stream.
type answer struct {
	Edge string `json:"edge"`
	Seq  int    `json:"seq"`            // from 1
	Line *Line  `json:"line,omitempty"` // nil: the lines that there were have all been sent
}

// Run answers until ctx ends.
func (l *Logs) Run(ctx context.Context) error {
	conn, err := l.o.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	questions := make(chan *nats.Msg, 4*maxStreams)
	sub, err := conn.ChanSubscribe(ask.Subject(part), questions)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	open := map[string]*time.Timer{} // ends a stream that nobody asks for
	ended := make(chan string)
	for {
		select {
		case <-ctx.Done():
			for range open { // each notices ctx
				<-ended
			}
			wg.Wait()
			return sub.Unsubscribe()
		case id := <-ended:
			open[id].Stop()
			delete(open, id)
		case m := <-questions:
			var q question
			if len(m.Data) > maxQuestion || m.Reply == "" || json.Unmarshal(m.Data, &q) != nil {
				continue
			}
			if t, ok := open[q.ID]; ok {
				t.Reset(impatient)
				continue
			}
			if len(open) >= maxStreams {
				l.log.Warn("too many readers of logs", "tenant", q.Tenant)
				continue
			}
			stream, cancel := context.WithCancel(ctx)
			open[q.ID] = time.AfterFunc(impatient, cancel)
			wg.Go(func() {
				defer cancel()
				l.stream(stream, conn, m.Reply, q)
				ended <- q.ID
			})
		}
	}
}

// stream sends lines until there are no more, or ctx ends.
func (l *Logs) stream(ctx context.Context, conn *nats.Conn, inbox string, q question) {
	pace := rate.NewLimiter(perSecond, perSecond)
	seq := 0
	for line := range l.o.Read(ctx, q.Tenant, min(q.Lines, maxLines), q.Follow) {
		seq++
		a := answer{Edge: l.o.Lattice.Name(), Seq: seq}
		if !line.Time.IsZero() {
			a.Line = &line
		}
		data, err := json.Marshal(a)
		if err == nil {
			err = errors.Join(pace.Wait(ctx), conn.Publish(inbox, data))
		}
		if err != nil {
			l.log.Debug("a reader's stream ends", "err", err)
			return
		}
	}
}
