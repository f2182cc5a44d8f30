package storage

// Crash makes f forget its locks, without releasing them.
func Crash(f *Folder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.held {
		l.stop()
	}
}
