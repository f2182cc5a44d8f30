package lattice

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
)

// serverLog is nats-server's logger.
type serverLog struct {
	log    *slog.Logger
	broken *atomic.Bool // a write to the disk failed, and the server gave up what it was for

	mu    sync.Mutex
	fatal error // the first; guarded by mu
}

// Noticef implements server.Logger.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("nats", "text", fmt.Sprintf(format, v...))
}

// Debugf implements server.Logger. It is not called.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef implements server.Logger. It is not called.
func (l *serverLog) Tracef(string, ...any) {}

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("nats", "text", fmt.Sprintf(format, v...))
}

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, "ritical write error") { // nothing else tells of a stream without replicas
		l.broken.Store(true)
	}
	l.log.Error("nats", "text", text)
}

// Fatalf implements server.Logger. nats-server calls it where it cannot start, and
// then returns: the process goes on.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = fmt.Errorf(format, v...)
	}
}

func (l *serverLog) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
