package natsconn

// Calls is how many wait to be accepted.
func (l *Listener) Calls() int { return len(l.calls) }
