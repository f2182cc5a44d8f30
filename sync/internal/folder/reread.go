package folder

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/terrane/terrane/tenant"
)

// Reread configures how content is read again, since not every file system tells of
// each change by sizes and times. Functions are called by one goroutine.
type Reread struct {
	// Budget has one token for each byte that may be read; each file costs FileCost
	// more. Its burst is RereadBurst at least. Nil: nothing is read again.
	Budget *rate.Limiter
	// Every is how often a folder is read at most without a reason; 0: a minute.
	Every time.Duration
	// Max is the size of a folder above which it is not read, because it is not taken
	// either; 0: no bound.
	Max int64
	// Taken returns the digest of the content that a folder had when its state key was
	// taken or refused; zero: not known. ok is false if that has not happened yet.
	Taken func(folder, key string) (content tenant.Hash, ok bool)
	// Digest is the digest of content, by hashes of files.
	Digest func(map[string]tenant.Hash) tenant.Hash
	// Read is told of each folder that was read, how long ago it was before, and
	// whether it has other content than was taken.
	Read func(folder string, bytes int64, age time.Duration, differs bool)
}

const (
	// FileCost stands for the work of opening one file.
	FileCost = 16 << 10
	// RereadBurst is the most that is read at once.
	RereadBurst = 128 << 10

	rereadEvery = time.Minute
	// hintGap is how soon a folder is read again for a change time that differs: some
	// file systems have another one at each look.
	hintGap = 2 * time.Second
)

// rereader compares the content of folders with what was taken, one folder at a time,
// the one that is due longest first.
type rereader struct {
	f    *Folder
	o    Reread
	stop context.CancelFunc
	done sync.WaitGroup
	wake chan struct{}

	mu      sync.Mutex
	folders map[string]*rereading
	due     dueHeap
}

// rereading is one tenant's folder.
type rereading struct {
	name  string
	key   string        // as the last look returned it; empty: not settled
	weak  uint64        // of that scan
	wait  time.Duration // until what was found is taken
	mark  string        // part of key since content was last found to differ
	found tenant.Hash
	again int       // differences in a row
	last  time.Time // when it was read
	asked bool      // by Recheck
	due   time.Time
	index int // in the heap; -1: not to be read again
}

func newRereader(ctx context.Context, f *Folder, o Reread) *rereader {
	if o.Every == 0 {
		o.Every = rereadEvery
	}
	r := &rereader{f: f, o: o, wake: make(chan struct{}, 1), folders: map[string]*rereading{}, stop: func() {}}
	if o.Budget == nil {
		return r
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.done.Go(func() { r.run(ctx) })
	return r
}

func (r *rereader) close() {
	r.stop()
	r.done.Wait()
}

// Recheck has the content of a folder read soon, whatever file system it is on. It
// does not block, and may be called at any time from any goroutine.
func (f *Folder) Recheck(name string) {
	r := f.reread
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.folders[name]; ok {
		t.asked = true
		r.schedule(t, time.Time{})
	}
}

// mark returns what to make part of the folder's key.
func (r *rereader) mark(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.folders[name]; ok {
		return t.mark
	}
	return ""
}

// note is told what a look has found.
func (r *rereader) note(name, key string, s *seen, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.folders[name]
	if !ok {
		t = &rereading{name: name, index: -1}
		r.folders[name] = t
	}
	t.wait = 2*s.settle + settleLocal
	changed, touched := key != t.key, s.weak != t.weak
	t.key, t.weak = key, s.weak
	switch {
	case key == "" || s.trusted && !t.asked:
		r.cancel(t)
	case !ok: // the edge has started, or the folder is new
		r.schedule(t, now)
	case changed && t.again > 1: // its content differs each time
		r.schedule(t, now.Add(r.o.Every))
	case changed:
		r.schedule(t, now.Add(t.wait))
	case touched && t.last.Add(hintGap).Before(t.due):
		r.schedule(t, t.last.Add(hintGap))
	case t.index < 0:
		r.schedule(t, now)
	}
}

// forget is told that a folder is gone.
func (r *rereader) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.folders[name]; ok {
		r.cancel(t)
		delete(r.folders, name)
	}
}

// schedule has t read at due; mu is held.
func (r *rereader) schedule(t *rereading, due time.Time) {
	t.due = due
	if t.index < 0 {
		heap.Push(&r.due, t)
	} else {
		heap.Fix(&r.due, t.index)
	}
	if t.index == 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *rereader) cancel(t *rereading) {
	if t.index >= 0 {
		heap.Remove(&r.due, t.index)
	}
}

// next takes the folder that is due longest, or returns how long none is.
func (r *rereader) next(now time.Time) (job rereading, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.due) == 0 {
		return rereading{}, r.o.Every
	}
	t := r.due[0]
	if wait := t.due.Sub(now); wait > 0 {
		return rereading{}, wait
	}
	r.schedule(t, now.Add(r.o.Every)) // unless what follows finds a reason
	return *t, 0
}

func (r *rereader) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		job, wait := r.next(time.Now())
		if wait == 0 {
			r.compare(ctx, &job)
		}
		timer.Reset(wait)
	}
}

// compare reads a folder and compares it with what was taken of it.
func (r *rereader) compare(ctx context.Context, job *rereading) {
	taken, ok := r.o.Taken(job.name, job.key)
	if !ok {
		r.finish(job, func(t *rereading) { r.schedule(t, time.Now().Add(t.wait)) })
		return
	}
	content, bytes, err := r.read(ctx, job)
	switch {
	case errors.Is(err, errMoving): // the looks find out
		r.finish(job, func(t *rereading) { r.schedule(t, time.Now().Add(t.wait)) })
		return
	case err != nil:
		r.finish(job, func(t *rereading) { t.asked = false })
		return
	}
	if taken == (tenant.Hash{}) {
		taken = job.found
	}
	now := time.Now()
	var age time.Duration
	if !job.last.IsZero() {
		age = now.Sub(job.last)
	}
	differs := content != taken
	r.finish(job, func(t *rereading) {
		t.last, t.found, t.asked = now, content, false
		if !differs {
			t.again = 0
			return
		}
		t.mark = stampOf(now)
		t.again++
	})
	if differs {
		r.f.watch.touch(job.name)
	}
	r.o.Read(job.name, bytes, age, differs)
}

func stampOf(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 36) }

// finish changes what is known of the folder of a job, unless the folder has changed.
func (r *rereader) finish(job *rereading, change func(*rereading)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.folders[job.name]; ok && t.key == job.key && t.mark == job.mark {
		change(t)
	}
}

var (
	errTooLarge = errors.New("larger than what is taken")
	errMoving   = errors.New("changing")
)

// read returns the digest of what a folder holds now. A file that cannot be read has
// the reason as its content.
func (r *rereader) read(ctx context.Context, job *rereading) (digest tenant.Hash, bytes int64, err error) {
	store, err := os.OpenRoot(r.f.o.Path)
	if err != nil {
		return digest, 0, err
	}
	defer store.Close() //nolint:errcheck // opened for reading
	before, stamp, err := r.f.scan(store, job.name, devices{})
	if err != nil {
		return digest, 0, err
	}
	if key(stamp, job.mark) != job.key {
		return digest, 0, errMoving
	}
	for _, file := range before.files {
		bytes += file.stat.size
	}
	if r.o.Max > 0 && bytes > r.o.Max {
		return digest, 0, errTooLarge
	}
	root, err := store.OpenRoot(job.name)
	if err != nil {
		return digest, 0, err
	}
	defer root.Close() //nolint:errcheck // opened for reading
	hashes := make(map[string]tenant.Hash, len(before.files))
	for _, file := range before.files {
		hash, err := r.hash(ctx, root, file)
		if errors.Is(err, errMoving) || ctx.Err() != nil {
			return digest, 0, err
		}
		if err != nil {
			hash = sha256.Sum256([]byte(err.Error()))
		}
		hashes[file.path] = hash
	}
	if _, now, err := r.f.scan(store, job.name, devices{}); err != nil || now != stamp {
		return digest, 0, errMoving
	}
	return r.o.Digest(hashes), bytes, nil
}

// hash reads one file, past what the kernel has of it, at the rate of the budget.
func (r *rereader) hash(ctx context.Context, root *os.Root, want file) (tenant.Hash, error) {
	if err := r.o.Budget.WaitN(ctx, FileCost); err != nil {
		return tenant.Hash{}, err
	}
	in, err := root.OpenFile(want.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return tenant.Hash{}, err
	}
	defer in.Close() //nolint:errcheck // opened for reading
	info, err := in.Stat()
	if err != nil {
		return tenant.Hash{}, err
	}
	if !info.Mode().IsRegular() || !statOf(info, want.stat.kind).same(want.stat) {
		return tenant.Hash{}, errMoving
	}
	forgetPages(in)
	defer forgetPages(in)
	sum := sha256.New()
	for left := want.stat.size; left > 0; {
		n := min(left, RereadBurst)
		if err := r.o.Budget.WaitN(ctx, int(n)); err != nil {
			return tenant.Hash{}, err
		}
		if _, err := io.CopyN(sum, in, n); err != nil {
			return tenant.Hash{}, err
		}
		left -= n
	}
	return tenant.Hash(sum.Sum(nil)), nil
}

// forgetPages drops what the kernel keeps of a file, which may be older than the file
// and takes memory that others need more.
func forgetPages(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// dueHeap implements heap.Interface: what is due longest comes first.
type dueHeap []*rereading

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	t := x.(*rereading)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h, t.index = old[:len(old)-1], -1
	return t
}
