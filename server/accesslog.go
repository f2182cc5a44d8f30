package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"
)

// accessLog gathers JSON lines and writes them in blocks, so that a request costs
// no system call. A nil *accessLog logs nothing.
type accessLog struct {
	w    io.Writer
	full chan struct{} // one token when a block is worth writing

	mu     sync.Mutex
	buf    []byte // guarded by mu; flushed when full, and each second
	lost   int    // guarded by mu: lines that found no room
	second int64  // guarded by mu: what clock shows
	clock  []byte // guarded by mu: the start of a line, to the second
}

const (
	accessBlock = 64 << 10
	accessMax   = 4 << 20 // held at most while w is slow
)

func newAccessLog(w io.Writer) *accessLog {
	return &accessLog{w: w, full: make(chan struct{}, 1)}
}

// log adds the line of a visit. What comes from the visitor is cut and escaped.
func (a *accessLog) log(v *visit, took time.Duration) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.buf) > accessMax {
		a.lost++
		return
	}
	a.buf = appendLine(a.appendTime(a.buf, v.start), v, took)
	if len(a.buf) >= accessBlock {
		select {
		case a.full <- struct{}{}:
		default:
		}
	}
}

// appendTime begins a line. Most lines share the second of the one before.
func (a *accessLog) appendTime(b []byte, t time.Time) []byte {
	if s := t.Unix(); s != a.second {
		a.second = s
		a.clock = t.UTC().AppendFormat(a.clock[:0], `{"time":"2006-01-02T15:04:05.`)
	}
	b = append(b, a.clock...)
	us := t.Nanosecond() / 1000
	for unit := 100_000; unit > 0; unit /= 10 {
		b = append(b, byte('0'+us/unit%10))
	}
	return append(b, 'Z')
}

func appendLine(b []byte, v *visit, took time.Duration) []byte {
	b = append(append(b, `","request":"`...), v.id...)
	b = appendField(append(b, '"'), "client", v.r.RemoteAddr)
	b = appendField(b, "host", v.r.Host)
	if r := v.place.release; r != nil {
		b = appendField(b, "tenant", string(r.id))
		b = appendField(b, "revision", string(r.revision))
	}
	b = appendField(b, "method", v.r.Method)
	b = appendField(b, "path", v.r.URL.Path)
	b = appendField(b, "proto", v.r.Proto)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(v.code), 10)
	b = strconv.AppendInt(append(b, `,"bytes":`...), v.written, 10)
	b = strconv.AppendFloat(append(b, `,"seconds":`...), took.Seconds(), 'f', 6, 64)
	if v.note != "" {
		b = appendField(b, "note", v.note)
	}
	return append(b, "}\n"...)
}

// appendField adds a name, which needs no escapes, and a value, cut to what a
// visitor may make a line hold.
func appendField(b []byte, name, value string) []byte {
	b = append(append(append(b, `,"`...), name...), `":`...)
	value = value[:min(len(value), 512)]
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(value)
			if err != nil { // never of a string
				quoted = []byte(`""`)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), value...), '"')
}

// run writes blocks until ctx ends, and then the rest. It reports the first of
// several errors in a row.
func (a *accessLog) run(ctx context.Context, edge *slog.Logger) {
	if a == nil {
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var block []byte // swapped with a.buf
	var rest []byte  // of a line whose beginning was written
	failing := false
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		case <-a.full:
		}
		var lost int
		a.mu.Lock()
		a.buf, block = block[:0], a.buf
		if !failing {
			lost, a.lost = a.lost, 0
		}
		a.mu.Unlock()
		if lost > 0 {
			edge.Warn("access log lost lines", "count", lost)
		}
		if len(block) == 0 {
			continue
		}
		torn := len(rest) > 0
		block = slices.Insert(block, 0, rest...)
		n, err := a.w.Write(block)
		rest = nil
		if err != nil {
			left := block[n:]
			if n > 0 && block[n-1] != '\n' || n == 0 && torn {
				rest = slices.Clone(left[:bytes.IndexByte(left, '\n')+1])
			}
			a.mu.Lock()
			a.lost += bytes.Count(left[len(rest):], []byte("\n"))
			a.mu.Unlock()
			if !failing {
				edge.Error("write access log", "err", err)
			}
		}
		failing = err != nil
	}
}
