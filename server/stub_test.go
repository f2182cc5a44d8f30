package server_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// stub is an engine whose guests do what only a test can ask for: they wait until
// told to go on. "say:TEXT" answers TEXT, "wait:TEXT" does when stub.go_ is closed
// or its ctx has ended, "panic:" panics in the host, "tell:" tells of its request, "chunks:A,B" sends
// A and B as chunks, "big:N" answers N bytes, "endless:" sends chunks until that fails,
// anything else is refused.
// Guests that guests can be are real ones, in guest_test.go.
type stub struct {
	proceed chan struct{}
	entered chan string // takes the text of each guest that waits

	mu       sync.Mutex
	compiled map[string]int
	open     map[string]int
	runs     map[string]int
}

func newStub() *stub {
	return &stub{proceed: make(chan struct{}), entered: make(chan string, 16), compiled: make(map[string]int), open: make(map[string]int), runs: make(map[string]int)}
}

func (*stub) Name() string { return "stub" }

func (*stub) Close(context.Context) error { return nil }

func (s *stub) Compile(_ context.Context, wasm []byte, _ engine.Limits) (engine.Module, error) {
	verb, text, ok := strings.Cut(string(wasm), ":")
	if !ok {
		return nil, fmt.Errorf("not Wasm: %w", engine.ErrRefused)
	}
	s.count(s.compiled, text, 1)
	s.count(s.open, text, 1)
	return &stubModule{s, verb, text}, nil
}

func (s *stub) count(in map[string]int, text string, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	in[text] += n
	return in[text]
}

type stubModule struct {
	s          *stub
	verb, text string
}

func (m *stubModule) Run(ctx context.Context, x *hostcalls.Exchange) error {
	if m.s.count(m.s.open, m.text, 0) == 0 {
		return errors.New("closed module run")
	}
	m.s.count(m.s.runs, m.text, 1)
	switch m.verb {
	case "wait":
		m.s.entered <- m.text
		select {
		case <-m.s.proceed:
		case <-ctx.Done():
			return &engine.Trap{Kind: engine.TrapDeadline, Reason: "out of time", Err: ctx.Err()}
		}
	case "panic":
		panic(m.text)
	case "tell":
		r := x.Request()
		x.Response().Body = fmt.Appendf(nil, "%s %s %s %s\nid %s client %s hops %d body %d\n", r.Method, r.Scheme, r.Host, r.Path, r.ID, r.Client, r.Hops, len(r.Body))
		for name, values := range r.Header {
			x.Response().Body = fmt.Appendf(x.Response().Body, "%s: %s\n", name, strings.Join(values, ", "))
		}
		return nil
	case "big":
		n, err := strconv.Atoi(m.text)
		x.Response().Body = append(x.Response().Body, make([]byte, n)...)
		return err
	case "endless":
		w, err := x.Request().Stream(x.Response())
		for err == nil && ctx.Err() == nil {
			_, err = w.Write(make([]byte, 64<<10))
		}
		return errors.Join(err, ctx.Err())
	case "chunks":
		w, err := x.Request().Stream(x.Response())
		for part := range strings.SplitSeq(m.text, ",") {
			if err == nil {
				_, err = w.Write([]byte(part))
			}
		}
		return err
	}
	x.Response().Body = append(x.Response().Body, m.text...)
	return nil
}

func (m *stubModule) Close(context.Context) error {
	m.s.count(m.s.open, m.text, -1)
	return nil
}
