package server

import (
	"context"
	"iter"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

// LogLine is one line of a tenant's log.
type LogLine struct {
	Time    time.Time  `json:"time"`
	Level   slog.Level `json:"level"`
	Request string     `json:"request,omitempty"`
	Module  string     `json:"module,omitempty"`
	Text    string     `json:"text"`
}

// LogsOptions are what NewLogs takes.
type LogsOptions struct {
	Bytes   int // kept for each tenant; default 64 KiB
	Tenants int // that logs are kept for; default 10,000. Those beyond are not kept
	Logger  *slog.Logger
}

// Logs keeps the newest lines that each tenant's guests have logged, for their
// owners to read, and writes all of them to Logger. It is safe for concurrent use.
// The zero value of its options is fine.
type Logs struct {
	opts LogsOptions

	mu       sync.Mutex
	byTenant map[tenant.ID]*tenantLog
}

// NewLogs makes an empty Logs.
func NewLogs(o LogsOptions) *Logs {
	if o.Bytes <= 0 {
		o.Bytes = 64 << 10
	}
	if o.Tenants <= 0 {
		o.Tenants = 10_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Logs{opts: o, byTenant: make(map[tenant.ID]*tenantLog)}
}

// Of returns the log of a tenant, for hostcalls.Tenant.
func (l *Logs) Of(id tenant.ID) hostcalls.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.byTenant[id]
	if !ok {
		t = &tenantLog{log: l.opts.Logger.With("tenant", id), room: l.opts.Bytes}
		if len(l.byTenant) < l.opts.Tenants {
			l.byTenant[id] = t
		}
	}
	return t
}

// Read yields the last n lines of a tenant's log, one zero LogLine, and, if follow is
// set, each new one until ctx ends. A reader that is too slow is told how many lines it
// has missed.
func (l *Logs) Read(ctx context.Context, id tenant.ID, n int, follow bool) iter.Seq[LogLine] {
	l.mu.Lock()
	t := l.byTenant[id]
	l.mu.Unlock()
	if t == nil {
		return func(yield func(LogLine) bool) { yield(LogLine{}) }
	}
	return func(yield func(LogLine) bool) {
		at := t.back(n)
		for first := true; ; first = false {
			lines, missed, changed := t.since(at)
			at += uint64(missed + len(lines))
			if missed > 0 && !yield(LogLine{Time: time.Now(), Level: slog.LevelWarn, Text: strconv.Itoa(missed) + " lines missed"}) {
				return
			}
			for _, line := range lines {
				if !yield(line) {
					return
				}
			}
			if first && !yield(LogLine{}) || !follow {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// tenantLog is a queue of lines, numbered from 0 on.
type tenantLog struct {
	log  *slog.Logger
	room int

	mu      sync.Mutex
	lines   []LogLine     // guarded by mu
	first   uint64        // number of lines[0]; guarded by mu
	bytes   int           // guarded by mu
	changed chan struct{} // closed by the next line; nil if nobody waits; guarded by mu
}

// lineCost is what a line takes besides its text, in bytes.
const lineCost = 128

// Log implements hostcalls.Logger.
func (t *tenantLog) Log(req *hostcalls.Request, level slog.Level, text string) {
	t.log.Log(context.Background(), level, "guest", "text", text, "module", req.Module, "request", req.ID)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, LogLine{Time: time.Now(), Level: level, Request: req.ID, Module: req.Module, Text: text})
	t.bytes += len(text) + lineCost
	for t.bytes > t.room && len(t.lines) > 1 {
		t.bytes -= len(t.lines[0].Text) + lineCost
		t.lines[0] = LogLine{}
		t.lines = t.lines[1:]
		t.first++
	}
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// back is the number of the line n before the end.
func (t *tenantLog) back(n int) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first + uint64(len(t.lines)-min(max(n, 0), len(t.lines)))
}

// since returns the lines from the number at on, how many of them are gone, and
// what is closed when there are more.
func (t *tenantLog) since(at uint64) (lines []LogLine, missed int, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at < t.first {
		missed = int(t.first - at)
		at = t.first
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return append([]LogLine(nil), t.lines[at-t.first:]...), missed, t.changed
}
