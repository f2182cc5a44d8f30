package logtail

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/internal/lattice/ask"
)

// Tail yields the last n lines of a tenant's log from all edges in the order of their
// clocks, and with follow each new one as it comes, until ctx ends.
func (l *Logs) Tail(ctx context.Context, tenant string, n int, follow bool) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		err := l.tail(ctx, question{ID: rand.Text(), Tenant: tenant, Lines: min(max(n, 0), maxLines), Follow: follow}, yield)
		if err != nil && ctx.Err() == nil {
			yield(l.told("the lattice: " + err.Error()))
		}
	}
}

// told is a line of this edge's own to the reader.
func (l *Logs) told(text string) Line {
	return Line{Edge: l.o.Lattice.Name(), Time: time.Now(), Level: slog.LevelWarn, Text: text}
}

func (l *Logs) tail(ctx context.Context, q question, yield func(Line) bool) error {
	inbox, err := ask.Open(ctx, l.o.Lattice, part, 4*maxLines, 16<<20)
	if err != nil {
		return err
	}
	defer inbox.Close()
	r := reader{inbox: inbox, seqs: map[string]int{}, waiting: map[string]bool{}}
	for _, edge := range l.o.Edges() {
		r.waiting[edge] = true
	}
	if err := put(inbox, q); err != nil {
		return err
	}
	first, err := r.first(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(first, func(a, b Line) int { return a.Time.Compare(b.Time) })
	for _, line := range first[max(0, len(first)-q.Lines):] {
		if !yield(line) {
			return nil
		}
	}
	for edge := range r.waiting {
		if !yield(l.told("edge " + edge + " has not answered")) {
			return nil
		}
	}
	if !q.Follow {
		return nil
	}
	q.Lines = 0 // edges that come later begin with what is new
	for {
		until, stop := context.WithTimeout(ctx, again)
		line, err := r.next(until)
		stop()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			if err := put(inbox, q); err != nil {
				return err
			}
		case err != nil:
			return err
		case line != nil && !yield(*line):
			return nil
		}
	}
}

// put asks a question.
func put(inbox *ask.Inbox, q question) error {
	data, err := json.Marshal(q)
	if err != nil {
		return err
	}
	return inbox.Ask(data)
}

// reader puts streams together.
type reader struct {
	inbox   *ask.Inbox
	seqs    map[string]int  // of each edge's last message
	waiting map[string]bool // edges that have yet to send what they have
}

// first reads what edges have, until all have sent it or time is up.
func (r *reader) first(ctx context.Context) (lines []Line, err error) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswers)
	defer cancel()
	for len(r.waiting) > 0 && len(lines) < 4*maxLines {
		line, err := r.next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return nil, err
		}
		if line != nil {
			lines = append(lines, *line)
		}
	}
	return lines, nil
}

// next reads one message. The line is nil if it has none.
func (r *reader) next(ctx context.Context) (*Line, error) {
	data, err := r.inbox.Next(ctx)
	if errors.Is(err, nats.ErrSlowConsumer) {
		return nil, nil // the numbers tell how much was lost
	}
	if err != nil {
		return nil, err
	}
	var a answer
	if len(data) > maxAnswer || json.Unmarshal(data, &a) != nil || len(a.Edge) > 63 || len(r.seqs) > 1024 {
		return nil, nil
	}
	missed := a.Seq - r.seqs[a.Edge] - 1
	if a.Seq == 1 {
		missed = 0 // a new stream
	}
	r.seqs[a.Edge] = a.Seq
	if a.Line == nil {
		delete(r.waiting, a.Edge)
		return nil, nil
	}
	a.Line.Edge = a.Edge
	if missed > 0 {
		a.Line.Text = "(" + strconv.Itoa(missed) + " lines missed) " + a.Line.Text
	}
	return a.Line, nil
}
