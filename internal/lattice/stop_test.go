package lattice_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice"
)

// stuck is a logger that does not return when the server says that it begins to shut down:
// the server then hangs, as one did that read damaged files.
type stuck struct {
	slog.Handler
	begun, end chan struct{}
}

// Handle implements slog.Handler.
func (s *stuck) Handle(_ context.Context, r slog.Record) error { //nolint:gocritic // the interface
	r.Attrs(func(a slog.Attr) bool {
		if strings.HasPrefix(a.Value.String(), "Initiating Shutdown") {
			close(s.begun)
			<-s.end
		}
		return true
	})
	return nil
}

// Enabled implements slog.Handler.
func (s *stuck) Enabled(context.Context, slog.Level) bool { return true }

// TestStopIsBounded: a server that hangs does not keep the edge from ending.
func TestStopIsBounded(t *testing.T) {
	s := &stuck{slog.DiscardHandler, make(chan struct{}), make(chan struct{})}
	defer close(s.end)
	l, err := lattice.New(lattice.Options{Name: "ams1", Dir: t.TempDir(), Logger: slog.New(s)})
	if err != nil {
		t.Fatal(err)
	}
	lattice.SetStopTimeout(l, 100*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	if _, err := l.Conn(limit(t)); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-s.begun
	select {
	case err = <-ended:
	case <-limit(t).Done():
		t.Fatal("a server that hangs keeps the edge from ending")
	}
	if err != nil || l.Unreadable() == nil || !strings.Contains(l.Unreadable().Error(), "restart the edge") {
		t.Errorf("%v, %v", err, l.Unreadable())
	}
}
