package preview1

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

// Module is the import module of the functions.
const Module = "wasi_snapshot_preview1"

// Exit is the error by which a guest ends itself (proc_exit). With code 0 the guest has
// returned, as if its entry had.
type Exit struct{ Code uint32 }

// Error tells the code.
func (e *Exit) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

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

// Function is one function of the module.
type Function struct {
	Name string
	Type string // "iI:i" takes an i32 and an i64, and returns an i32
	// Call runs the function for p in the sandbox g. Its result is in a[0]. An error
	// traps the guest; *Exit ends it.
	Call func(ctx context.Context, p *Program, g guestmem.Guest, a guestmem.Args) error
}

// impl is what a function does that returns an error number. An error traps.
type impl func(ctx context.Context, p *Program, g guestmem.Guest, a guestmem.Args) (errno, error)

// quick is an impl that neither waits nor traps.
func quick(do func(p *Program, g guestmem.Guest, a guestmem.Args) errno) impl {
	return func(_ context.Context, p *Program, g guestmem.Guest, a guestmem.Args) (errno, error) {
		return do(p, g, a), nil
	}
}

func answer(e errno) impl {
	return quick(func(*Program, guestmem.Guest, guestmem.Args) errno { return e })
}

// Functions lists every function of the module.
func Functions() []Function {
	f := func(name, params string, do impl) Function {
		return Function{name, params + ":i", func(ctx context.Context, p *Program, g guestmem.Guest, a guestmem.Args) error {
			e, err := do(ctx, p, g, a)
			a[0] = uint64(e)
			return err
		}}
	}
	return []Function{
		f("args_get", "ii", quick(func(p *Program, g guestmem.Guest, a guestmem.Args) errno { return giveStrings(g, a, p.args()) })),
		f("args_sizes_get", "ii", quick(func(p *Program, g guestmem.Guest, a guestmem.Args) errno { return giveSizes(g, a, p.args()) })),
		f("environ_get", "ii", quick(func(p *Program, g guestmem.Guest, a guestmem.Args) errno { return giveStrings(g, a, p.environment()) })),
		f("environ_sizes_get", "ii", quick(func(p *Program, g guestmem.Guest, a guestmem.Args) errno { return giveSizes(g, a, p.environment()) })),
		f("clock_res_get", "ii", quick(clockResGet)),
		f("clock_time_get", "iIi", quick(clockTimeGet)),
		f("random_get", "ii", quick(randomGet)),
		f("poll_oneoff", "iiii", pollOneoff),
		f("sched_yield", "", func(ctx context.Context, _ *Program, _ guestmem.Guest, _ guestmem.Args) (errno, error) {
			return errnoSuccess, ctx.Err()
		}),
		{"proc_exit", "i", func(_ context.Context, _ *Program, _ guestmem.Guest, a guestmem.Args) error { return &Exit{a.U32(0)} }},
		f("proc_raise", "i", func(_ context.Context, _ *Program, _ guestmem.Guest, a guestmem.Args) (errno, error) {
			return 0, fmt.Errorf("the guest raised the signal %d", a.U32(0))
		}),

		f("fd_advise", "iIIi", quick(func(p *Program, _ guestmem.Guest, a guestmem.Args) errno { return p.fdExists(a) })),
		f("fd_allocate", "iII", answer(errnoRofs)),
		f("fd_close", "i", quick(fdClose)),
		f("fd_datasync", "i", quick(func(p *Program, _ guestmem.Guest, a guestmem.Args) errno { return p.fdExists(a) })),
		f("fd_fdstat_get", "ii", quick(fdFdstatGet)),
		f("fd_fdstat_set_flags", "ii", quick(func(p *Program, _ guestmem.Guest, a guestmem.Args) errno { return p.fdExists(a) })),
		f("fd_fdstat_set_rights", "iII", quick(func(p *Program, _ guestmem.Guest, a guestmem.Args) errno { return p.fdExists(a) })),
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
		f("fd_sync", "i", quick(func(p *Program, _ guestmem.Guest, a guestmem.Args) errno { return p.fdExists(a) })),
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

// put writes a number of 4 or 8 bytes at ptr.
func put[T uint32 | uint64](g guestmem.Guest, ptr uint32, v T) errno {
	size := uint32(4)
	if _, ok := any(v).(uint64); ok {
		size = 8
	}
	b, err := guestmem.View(g, ptr, size, "")
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
func giveSizes(g guestmem.Guest, a guestmem.Args, list []string) errno {
	size := 0
	for _, s := range list {
		size += len(s) + 1
	}
	if e := put(g, a.U32(0), uint32(len(list))); e != 0 {
		return e
	}
	return put(g, a.U32(1), uint32(size))
}

// giveStrings writes the strings' places to a[0], and the strings to a[1].
func giveStrings(g guestmem.Guest, a guestmem.Args, list []string) errno {
	places, ptr := a.U32(0), a.U32(1)
	for _, s := range list {
		b, err := guestmem.View(g, ptr, uint32(len(s)+1), "")
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

func clockResGet(_ *Program, g guestmem.Guest, a guestmem.Args) errno {
	if a.U32(0) >= clocks {
		return errnoInval
	}
	return put(g, a.U32(1), uint64(time.Microsecond))
}

func clockTimeGet(p *Program, g guestmem.Guest, a guestmem.Args) errno {
	if a.U32(0) >= clocks {
		return errnoInval
	}
	return put(g, a.U32(2), p.clock(a.U32(0)))
}

// clock is the wall clock, or for the other three the time since the program began.
func (p *Program) clock(id uint32) uint64 {
	if id == clockRealtime {
		return uint64(time.Now().UnixNano())
	}
	return uint64(time.Since(p.start)) + 1
}

func randomGet(_ *Program, g guestmem.Guest, a guestmem.Args) errno {
	b, err := a.Bytes(g, 0, "buffer")
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
func pollOneoff(ctx context.Context, p *Program, g guestmem.Guest, a guestmem.Args) (errno, error) {
	n := a.U32(2)
	if n == 0 || n > guestmem.MaxList {
		return errnoInval, nil
	}
	subs, err := guestmem.View(g, a.U32(0), n*subscriptionSize, "")
	if err != nil {
		return errnoFault, nil
	}
	if _, err := guestmem.View(g, a.U32(1), n*eventSize, ""); err != nil {
		return errnoFault, nil
	}
	waits := make([]time.Duration, n)
	for i := range waits {
		waits[i] = p.subscribed(subs[i*subscriptionSize:])
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
	events, at := uint32(0), a.U32(1)
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
	return put(g, a.U32(3), events), nil
}

// subscribed is how long the subscription still has to wait.
func (p *Program) subscribed(s []byte) time.Duration {
	if s[8] != eventClock {
		return 0
	}
	at := binary.LittleEndian.Uint64(s[24:])
	if binary.LittleEndian.Uint16(s[40:])&absoluteTime != 0 {
		at -= min(at, p.clock(binary.LittleEndian.Uint32(s[16:])))
	}
	return time.Duration(min(at, 1<<62))
}
