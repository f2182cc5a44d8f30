package certs

import "time"

// Seal and ErrSealed are what tests of package certs_test look at.
var (
	Seal      = seal
	ErrSealed = errSealed
)

// Crash makes f forget its locks, without releasing them.
func Crash(f *Folder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.held {
		l.cancel()
		<-l.done
	}
}

// SetNow gives a another clock. It must not run yet.
func SetNow(a *ACME, now func() time.Time) { a.now = now }
