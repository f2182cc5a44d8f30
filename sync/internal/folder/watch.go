package folder

import (
	"path/filepath"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher turns file events into hints. It may know nothing: without inotify, at
// the limit of watches, on file systems without events.
type watcher struct {
	root  string
	depth int
	hints chan struct{}
	fs    *fsnotify.Watcher // nil: no events
	done  sync.WaitGroup

	mu    sync.Mutex
	added map[string]bool
	dirty map[string]bool // tenants' folders; ".": folders may have come or gone
	lost  bool            // anything may have changed
}

// maxDirty is how many folders are told apart.
const maxDirty = 10_000

func newWatcher(root string, depth int) *watcher {
	w := &watcher{
		root: root, depth: depth, hints: make(chan struct{}, 1),
		added: map[string]bool{}, dirty: map[string]bool{},
	}
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err != nil {
		w.fs = nil
		return w
	}
	w.done.Go(w.run)
	return w
}

func (w *watcher) run() {
	for {
		select {
		case e, ok := <-w.fs.Events:
			if !ok {
				return
			}
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				w.forget(e.Name)
			}
			if e.Op == fsnotify.Chmod { // our own reading touches nothing, but backups and indexers do
				continue
			}
			w.note(e)
		case _, ok := <-w.fs.Errors: // an overflow, mostly
			if !ok {
				return
			}
			w.mu.Lock()
			w.lost = true
			w.mu.Unlock()
			w.hint()
		}
	}
}

// note keeps which tenant's folder an event was in.
func (w *watcher) note(e fsnotify.Event) {
	rel, err := filepath.Rel(w.root, e.Name)
	if err != nil {
		return
	}
	elems := strings.Split(rel, string(filepath.Separator))
	w.mu.Lock()
	if len(elems) <= w.depth {
		w.dirty["."] = true
	}
	if len(elems) >= w.depth {
		w.dirty[strings.Join(elems[:w.depth], "/")] = true
	}
	if len(w.dirty) > maxDirty {
		w.lost = true
		clear(w.dirty)
	}
	w.mu.Unlock()
	w.hint()
}

// touch has the next look look at a tenant's folder.
func (w *watcher) touch(name string) {
	w.mu.Lock()
	w.dirty[name] = true
	w.mu.Unlock()
	w.hint()
}

// take returns, and forgets, what had events, and whether events were lost.
func (w *watcher) take() (dirty map[string]bool, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	dirty, lost = w.dirty, w.lost
	w.dirty, w.lost = map[string]bool{}, false
	return dirty, lost
}

func (w *watcher) hint() {
	select {
	case w.hints <- struct{}{}:
	default:
	}
}

// add watches a directory, before it is read: what comes later is an event.
func (w *watcher) add(dir string) {
	if w.fs == nil {
		return
	}
	dir = filepath.Join(w.root, dir)
	w.mu.Lock()
	known := w.added[dir]
	w.mu.Unlock()
	if known || w.fs.Add(dir) != nil { // refused: polling finds it
		return
	}
	w.mu.Lock()
	w.added[dir] = true
	w.mu.Unlock()
}

func (w *watcher) forget(dir string) {
	w.mu.Lock()
	delete(w.added, dir)
	w.mu.Unlock()
}

func (w *watcher) close() error {
	if w.fs == nil {
		return nil
	}
	err := w.fs.Close()
	w.done.Wait()
	return err
}
