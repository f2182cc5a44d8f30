package server

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// fullDisk takes so many bytes of each write, as long as it is full.
type fullDisk struct {
	strings.Builder
	room []int // of each write to come; then there is space
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(d.room) == 0 {
		return d.Builder.Write(p)
	}
	n := min(d.room[0], len(p))
	d.room = d.room[1:]
	d.Builder.Write(p[:n])
	return n, errors.New("no space left on device")
}

// TestAccessLogOnAFullDisk: whole lines alone are in the log when there is space again,
// and the others are counted.
func TestAccessLogOnAFullDisk(t *testing.T) {
	disk := &fullDisk{room: []int{7, 0, 2}}
	var log strings.Builder
	edge := slog.New(slog.NewTextHandler(&log, nil))
	a := newAccessLog(disk)
	ctx, cancel := context.WithCancel(t.Context())
	done, wrote := make(chan struct{}), make(chan struct{})
	a.w = writerFunc(func(p []byte) (int, error) {
		n, err := disk.Write(p)
		wrote <- struct{}{}
		return n, err
	})
	go func() { defer close(done); a.run(ctx, edge) }()
	for _, lines := range []string{"{111}\n{222}\n{333}\n", "{444}\n", "{555}\n", "{666}\n", "{777}\n"} {
		a.mu.Lock()
		a.buf = append(a.buf, lines...)
		a.mu.Unlock()
		a.full <- struct{}{}
		<-wrote
	}
	cancel()
	<-done
	if got, want := disk.String(), "{111}\n{222}\n{666}\n{777}\n"; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
	if n := strings.Count(log.String(), "no space left"); n != 1 || !strings.Contains(log.String(), "count=3") {
		t.Errorf("the edge's log does not say once why, and that 3 lines are lost: %s", log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
