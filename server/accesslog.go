package server

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// accessLog gathers lines and writes them in blocks, so that a request costs no
// system call. A nil *accessLog logs nothing.
type accessLog struct {
	w     io.Writer
	lines *slog.Logger

	mu   sync.Mutex
	buf  bytes.Buffer // guarded by mu; flushed when full, and each second
	lost int          // guarded by mu: lines that found no room
	full chan struct{}
}

const (
	accessBlock = 64 << 10
	accessMax   = 4 << 20 // held at most while w is slow
)

func newAccessLog(w io.Writer) *accessLog {
	a := &accessLog{w: w, full: make(chan struct{}, 1)}
	a.lines = slog.New(slog.NewJSONHandler(lineWriter{a}, nil))
	return a
}

// lineWriter takes the handler's lines into the buffer.
type lineWriter struct{ a *accessLog }

func (l lineWriter) Write(line []byte) (int, error) {
	a := l.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.buf.Len()+len(line) > accessMax {
		a.lost++
		return len(line), nil
	}
	a.buf.Write(line)
	if a.buf.Len() >= accessBlock {
		select {
		case a.full <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// log adds one line. What comes from the visitor is cut and escaped.
func (a *accessLog) log(ctx context.Context, v *visit, took time.Duration) {
	if a == nil {
		return
	}
	var id, revision string
	if r := v.place.release; r != nil {
		id, revision = string(r.id), string(r.revision)
	}
	attrs := [...]slog.Attr{
		slog.String("request", v.id), slog.String("client", v.r.RemoteAddr), slog.String("host", cut(v.r.Host)),
		slog.String("tenant", id), slog.String("revision", revision),
		slog.String("method", cut(v.r.Method)), slog.String("path", cut(v.r.URL.Path)), slog.String("proto", v.r.Proto),
		slog.Int("status", v.code), slog.Int64("bytes", v.written), slog.Float64("seconds", took.Seconds()),
		slog.String("note", cut(v.note)),
	}
	n := len(attrs)
	if v.note == "" {
		n--
	}
	a.lines.LogAttrs(ctx, slog.LevelInfo, "request", attrs[:n]...)
}

// cut bounds what a visitor can make a line hold.
func cut(s string) string { return s[:min(len(s), 512)] }

// run writes blocks until ctx ends, and then the rest.
func (a *accessLog) run(ctx context.Context, edge *slog.Logger) {
	if a == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			if err := a.flush(); err != nil {
				edge.Error("write access log", "err", err)
			}
			return
		case <-tick.C:
			err = a.flush()
		case <-a.full:
			err = a.flush()
		}
		if err != nil {
			edge.Error("write access log", "err", err)
		}
	}
}

func (a *accessLog) flush() error {
	a.mu.Lock()
	block := bytes.Clone(a.buf.Bytes())
	lost := a.lost
	a.buf.Reset()
	a.lost = 0
	a.mu.Unlock()
	if lost > 0 {
		a.lines.Warn("lines lost", "count", lost)
	}
	if len(block) == 0 {
		return nil
	}
	_, err := a.w.Write(block)
	return err
}
