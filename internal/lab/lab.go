package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Lab is a set of nodes, their processes and a folder for their files.
// It is safe for concurrent use until Close.
type Lab struct {
	tag    string // first part of the names of this lab's namespaces
	dir    string
	keeper *keeper

	mu        sync.Mutex
	processes []*Process // in the order they were started
}

// Missing returns the reason why a lab with namespaces cannot be built here, or
// nil: it takes root, ip(8), the right to make a namespace, and the programs.
func Missing(ctx context.Context, programs ...string) error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	for _, name := range append([]string{"ip", "nsenter"}, programs...) {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not installed", name)
		}
	}
	l, err := New(ctx)
	if err != nil {
		return err
	}
	_, err = l.Node(ctx, "probe")
	return errors.Join(err, l.Close())
}

// New makes an empty lab. The caller closes it.
func New(ctx context.Context) (*Lab, error) {
	id := make([]byte, 3)
	_, _ = rand.Read(id) // never fails
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	l := &Lab{tag: "lab" + hex.EncodeToString(id), dir: dir}
	if l.keeper, err = startKeeper(ctx); err == nil {
		err = l.keeper.owns(folder, dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), os.RemoveAll(dir))
	}
	return l, nil
}

// Dir is a folder for files of the lab. It is removed with it.
func (l *Lab) Dir() string { return l.dir }

// Path is the path of a file in the lab's folder.
func (l *Lab) Path(elem ...string) string { return filepath.Join(append([]string{l.dir}, elem...)...) }

// Close stops the processes, the newest first, and removes all that the lab made.
// It reports what could not be removed. A second Close does nothing.
func (l *Lab) Close() error {
	l.mu.Lock()
	running := l.processes
	l.processes = nil
	l.mu.Unlock()
	for _, p := range slices.Backward(running) {
		p.stop()
	}
	return l.keeper.close()
}

// Transcripts returns what each process has printed so far, for a test that failed.
func (l *Lab) Transcripts() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []byte
	for _, p := range l.processes {
		out = fmt.Appendf(out, "--- %s\n%s", p.name, p.Output())
	}
	return string(out)
}

// Link joins two nodes by a veth pair. On each the interface bears the name of
// the other node, and has the address given.
func (l *Lab) Link(ctx context.Context, a *Node, aAddr netip.Prefix, b *Node, bAddr netip.Prefix) error {
	if _, err := a.ip(ctx, "link", "add", b.name, "type", "veth", "peer", "name", a.name, "netns", b.namespace); err != nil {
		return err
	}
	return errors.Join(a.up(ctx, b.name, aAddr), b.up(ctx, a.name, bAddr))
}

// pollInterval is short enough for what tests wait for, and long enough to leave
// two cores to what they wait for.
const pollInterval = 20 * time.Millisecond

// Until calls check until it returns nil or ctx ends; it then returns check's last
// error. It is for what tells nobody that it changed: a routing table, a remote
// answer.
func Until(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // not what only says that the check was cut short
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}
