package folder

import (
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// watcher turns file events into hints. It may know nothing: without inotify, at
// the limit of watches, on file systems without events.
type watcher struct {
	root  string
	hints chan struct{}
	fs    *fsnotify.Watcher // nil: no events
	done  sync.WaitGroup

	mu    sync.Mutex
	added map[string]bool
}

func newWatcher(root string) *watcher {
	w := &watcher{root: root, hints: make(chan struct{}, 1), added: map[string]bool{}}
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
			w.hint()
		case _, ok := <-w.fs.Errors: // an overflow: something has changed
			if !ok {
				return
			}
			w.hint()
		}
	}
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
