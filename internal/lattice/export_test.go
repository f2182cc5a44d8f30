package lattice

import "time"

// SetStopTimeout changes how long a lattice waits for its server to stop.
func SetStopTimeout(l *Lattice, d time.Duration) { l.stopTimeout = d }
