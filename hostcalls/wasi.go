package hostcalls

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// moduleWASI is WASI preview 1. A program sees its arguments, an environment,
// stdin, stdout, stderr and, if the tenant has Files, one read-only folder at "/".
const moduleWASI = "wasi_snapshot_preview1"

// errno is a WASI error number.
type errno uint32

const (
	errnoSuccess     errno = 0
	errnoBadf        errno = 8
	errnoFault       errno = 21
	errnoFbig        errno = 22
	errnoInval       errno = 28
	errnoIO          errno = 29
	errnoIsdir       errno = 31
	errnoMfile       errno = 33
	errnoNametoolong errno = 37
	errnoNoent       errno = 44
	errnoNotdir      errno = 54
	errnoNotsup      errno = 58
	errnoRofs        errno = 69
	errnoSpipe       errno = 70
	errnoNotcapable  errno = 76
)

// wasiImpl is what a WASI function does. An error traps.
type wasiImpl func(ctx context.Context, x *Exchange, g Guest, a args) (errno, error)

// quick is a wasiImpl that neither waits nor traps.
func quick(do func(x *Exchange, g Guest, a args) errno) wasiImpl {
	return func(_ context.Context, x *Exchange, g Guest, a args) (errno, error) { return do(x, g, a), nil }
}

func answer(e errno) wasiImpl { return quick(func(*Exchange, Guest, args) errno { return e }) }

func wasiFunctions() []Func {
	f := func(name, params string, do wasiImpl) Func {
		return define(moduleWASI, name, params+":i", func(ctx context.Context, x *Exchange, g Guest, a args) error {
			e, err := do(ctx, x, g, a)
			a[0] = uint64(e)
			return err
		})
	}
	return []Func{
		f("args_get", "ii", quick(func(x *Exchange, g Guest, a args) errno { return giveStrings(g, a, x.wasiState().args) })),
		f("args_sizes_get", "ii", quick(func(x *Exchange, g Guest, a args) errno { return giveSizes(g, a, x.wasiState().args) })),
		f("environ_get", "ii", quick(func(x *Exchange, g Guest, a args) errno { return giveStrings(g, a, x.wasiState().environ) })),
		f("environ_sizes_get", "ii", quick(func(x *Exchange, g Guest, a args) errno { return giveSizes(g, a, x.wasiState().environ) })),
		f("clock_res_get", "ii", quick(clockResGet)),
		f("clock_time_get", "iIi", quick(clockTimeGet)),
		f("random_get", "ii", quick(randomGet)),
		f("poll_oneoff", "iiii", pollOneoff),
		f("sched_yield", "", func(ctx context.Context, _ *Exchange, _ Guest, _ args) (errno, error) { return errnoSuccess, ctx.Err() }),
		define(moduleWASI, "proc_exit", "i", func(_ context.Context, _ *Exchange, _ Guest, a args) error { return &Exit{a.u32(0)} }),
		f("proc_raise", "i", func(_ context.Context, _ *Exchange, _ Guest, a args) (errno, error) {
			return 0, fmt.Errorf("the guest raised the signal %d", a.u32(0))
		}),

		f("fd_advise", "iIIi", quick(func(x *Exchange, _ Guest, a args) errno { return x.fdExists(a) })),
		f("fd_allocate", "iII", answer(errnoRofs)),
		f("fd_close", "i", quick(fdClose)),
		f("fd_datasync", "i", quick(func(x *Exchange, _ Guest, a args) errno { return x.fdExists(a) })),
		f("fd_fdstat_get", "ii", quick(fdFdstatGet)),
		f("fd_fdstat_set_flags", "ii", quick(func(x *Exchange, _ Guest, a args) errno { return x.fdExists(a) })),
		f("fd_fdstat_set_rights", "iII", quick(func(x *Exchange, _ Guest, a args) errno { return x.fdExists(a) })),
		f("fd_filestat_get", "ii", quick(fdFilestatGet)),
		f("fd_filestat_set_size", "iI", answer(errnoRofs)),
		f("fd_filestat_set_times", "iIIi", answer(errnoRofs)),
		f("fd_pread", "iiiIi", quick(fdPread)),
		f("fd_prestat_get", "ii", quick(fdPrestatGet)),
		f("fd_prestat_dir_name", "iii", quick(fdPrestatDirName)),
		f("fd_pwrite", "iiiIi", answer(errnoRofs)),
		f("fd_read", "iiii", quick(fdRead)),
		f("fd_readdir", "iiiIi", quick(fdReaddir)),
		f("fd_renumber", "ii", quick(fdRenumber)),
		f("fd_seek", "iIii", quick(fdSeek)),
		f("fd_sync", "i", quick(func(x *Exchange, _ Guest, a args) errno { return x.fdExists(a) })),
		f("fd_tell", "ii", quick(fdTell)),
		f("fd_write", "iiii", quick(fdWrite)),

		f("path_create_directory", "iii", answer(errnoRofs)),
		f("path_filestat_get", "iiiii", quick(pathFilestatGet)),
		f("path_filestat_set_times", "iiiiIIi", answer(errnoRofs)),
		f("path_link", "iiiiiii", answer(errnoRofs)),
		f("path_open", "iiiiiIIii", quick(pathOpen)),
		f("path_readlink", "iiiiii", answer(errnoInval)), // nothing is a link
		f("path_remove_directory", "iii", answer(errnoRofs)),
		f("path_rename", "iiiiii", answer(errnoRofs)),
		f("path_symlink", "iiiii", answer(errnoRofs)),
		f("path_unlink_file", "iii", answer(errnoRofs)),

		f("sock_accept", "iii", answer(errnoNotsup)),
		f("sock_recv", "iiiiii", answer(errnoNotsup)),
		f("sock_send", "iiiii", answer(errnoNotsup)),
		f("sock_shutdown", "ii", answer(errnoNotsup)),
	}
}

// wasi is what a program has of its host.
type wasi struct {
	start   time.Time
	args    []string
	environ []string
	stdin   bytes.Reader
	stdout  []byte // of a CGI program
	cut     bool   // stdout lacks what was over the limit
	lines   [2]line
	files   []*file // by descriptor - firstFile; nil when closed
}

// line is what a stream has written of its next line in the log.
type line struct {
	level slog.Level
	text  []byte
}

// wasiState is x.wasi, made when a WASI function is first called.
func (x *Exchange) wasiState() *wasi {
	if x.wasi == nil {
		w := &wasi{start: time.Now(), args: []string{x.req.Module}, environ: x.environ()}
		w.stdin.Reset(x.req.Body)
		w.lines[0].level, w.lines[1].level = slog.LevelInfo, slog.LevelWarn
		if x.t.Files != nil {
			w.files = []*file{{name: ".", dir: true}}
		}
		x.wasi = w
	}
	return x.wasi
}

// writeLine takes what a program writes to stdout (0) or stderr (1) into the tenant's
// log, line by line.
func (x *Exchange) writeLine(stream int, b []byte) {
	l := &x.wasi.lines[stream]
	for len(b) > 0 {
		part, rest, ended := bytes.Cut(b, []byte("\n"))
		l.text = append(l.text, part[:min(len(part), LogLineMax-len(l.text))]...)
		if b = rest; ended {
			x.flush(l)
		}
	}
}

func (x *Exchange) flush(l *line) {
	if len(l.text) > 0 {
		x.log(l.level, string(l.text))
	}
	l.text = l.text[:0]
}

// endWASI logs unfinished lines and closes files.
func (x *Exchange) endWASI() {
	if x.wasi == nil {
		return
	}
	for i := range x.wasi.lines {
		x.flush(&x.wasi.lines[i])
	}
	for _, f := range x.wasi.files {
		f.close()
	}
}

// put writes a number of 4 or 8 bytes at ptr.
func put[T uint32 | uint64](g Guest, ptr uint32, v T) errno {
	size := uint32(4)
	if _, ok := any(v).(uint64); ok {
		size = 8
	}
	b, err := view(g, ptr, size, "")
	if err != nil {
		return errnoFault
	}
	if size == 8 {
		binary.LittleEndian.PutUint64(b, uint64(v))
	} else {
		binary.LittleEndian.PutUint32(b, uint32(v))
	}
	return errnoSuccess
}

// giveSizes writes the number of strings to a[0], and their bytes, NULs included, to a[1].
func giveSizes(g Guest, a args, list []string) errno {
	size := 0
	for _, s := range list {
		size += len(s) + 1
	}
	if e := put(g, a.u32(0), uint32(len(list))); e != 0 {
		return e
	}
	return put(g, a.u32(1), uint32(size))
}

// giveStrings writes the strings' places to a[0], and the strings to a[1].
func giveStrings(g Guest, a args, list []string) errno {
	places, ptr := a.u32(0), a.u32(1)
	for _, s := range list {
		b, err := view(g, ptr, uint32(len(s)+1), "")
		if err != nil {
			return errnoFault
		}
		b[copy(b, s)] = 0
		if e := put(g, places, ptr); e != 0 {
			return e
		}
		places, ptr = places+4, ptr+uint32(len(b))
	}
	return errnoSuccess
}

const (
	clockRealtime = 0
	clocks        = 4
)

func clockResGet(_ *Exchange, g Guest, a args) errno {
	if a.u32(0) >= clocks {
		return errnoInval
	}
	return put(g, a.u32(1), uint64(time.Microsecond))
}

func clockTimeGet(x *Exchange, g Guest, a args) errno {
	if a.u32(0) >= clocks {
		return errnoInval
	}
	return put(g, a.u32(2), x.clock(a.u32(0)))
}

// clock is the wall clock, or for the other three the time since the program began.
func (x *Exchange) clock(id uint32) uint64 {
	if id == clockRealtime {
		return uint64(time.Now().UnixNano())
	}
	return uint64(time.Since(x.wasiState().start)) + 1
}

func randomGet(_ *Exchange, g Guest, a args) errno {
	b, err := a.bytes(g, 0, "buffer")
	if err != nil {
		return errnoFault
	}
	if _, err := rand.Read(b); err != nil {
		return errnoIO
	}
	return errnoSuccess
}

// The layout of poll_oneoff's subscriptions and events.
const (
	subscriptionSize = 48
	eventSize        = 32
	eventClock       = 0
	absoluteTime     = 1
)

// pollOneoff waits for the first of the clocks. Descriptors are always ready.
func pollOneoff(ctx context.Context, x *Exchange, g Guest, a args) (errno, error) {
	n := a.u32(2)
	if n == 0 || n > maxList {
		return errnoInval, nil
	}
	subs, err := view(g, a.u32(0), n*subscriptionSize, "")
	if err != nil {
		return errnoFault, nil
	}
	if _, err := view(g, a.u32(1), n*eventSize, ""); err != nil {
		return errnoFault, nil
	}
	waits := make([]time.Duration, n)
	for i := range waits {
		waits[i] = x.subscribed(subs[i*subscriptionSize:])
	}
	first := slices.Min(waits)
	if first > 0 {
		timer := time.NewTimer(first)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	events, at := uint32(0), a.u32(1)
	for i, wait := range waits {
		if wait > first {
			continue
		}
		sub, event := subs[i*subscriptionSize:], g.Memory()[at:][:eventSize]
		clear(event)
		copy(event, sub[:8]) // userdata
		if event[10] = sub[8]; sub[8] != eventClock {
			binary.LittleEndian.PutUint64(event[16:], 1)
		}
		events++
		at += eventSize
	}
	return put(g, a.u32(3), events), nil
}

// subscribed is how long the subscription still has to wait.
func (x *Exchange) subscribed(s []byte) time.Duration {
	if s[8] != eventClock {
		return 0
	}
	at := binary.LittleEndian.Uint64(s[24:])
	if binary.LittleEndian.Uint16(s[40:])&absoluteTime != 0 {
		at -= min(at, x.clock(binary.LittleEndian.Uint32(s[16:])))
	}
	return time.Duration(min(at, 1<<62))
}
