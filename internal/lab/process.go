package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs on a node until it ends or is stopped.
type Process struct {
	name string
	cmd  *exec.Cmd
	out  transcript
	done chan struct{}
	err  error // how it ended; read after done
}

// Start starts a program on the node. It is asked to end when ctx does or the lab
// is closed, and killed when it takes too long. The name is for transcripts.
func (n *Node) Start(ctx context.Context, name, program string, args ...string) (*Process, error) {
	return n.start(name, n.Command(ctx, program, args...))
}

func (n *Node) start(name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: n.name + "/" + name, cmd: cmd, done: make(chan struct{})}
	p.out.changed = make(chan struct{})
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	n.lab.mu.Lock()
	defer n.lab.mu.Unlock()
	n.lab.processes = append(n.lab.processes, p)
	return p, nil
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal. A process that has ended takes none.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Wait waits for the end of the process and returns how it ended: nil for status 0.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s still runs: %w", p.name, context.Cause(ctx))
	}
}

// stopGrace is how long a process may take to end when the lab is closed.
const stopGrace = 20 * time.Second

func (p *Process) stop() {
	_ = p.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(stopGrace, func() { _ = p.Signal(syscall.SIGKILL) })
	defer kill.Stop()
	<-p.done
}

// PeakMemory is the most memory that a running process has held so far, in bytes.
func (p *Process) PeakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.name, err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.ParseInt(kib, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: peak of memory: %w", p.name, err)
	}
	return n << 10, nil
}

var errDone = errors.New("exit status 0")

// Output is what the process has printed so far, on either stream.
func (p *Process) Output() string {
	out, _ := p.out.read()
	return out
}

// Line waits for a whole line of the output that contains text, from the start of
// the output on, and returns the first. It fails when the process ends without one.
func (p *Process) Line(ctx context.Context, text string) (string, error) {
	for {
		ended := false
		select {
		case <-p.done:
			ended = true // and nothing is printed any more
		default:
		}
		out, changed := p.out.read()
		for line := range strings.Lines(out) {
			if strings.HasSuffix(line, "\n") && strings.Contains(line, text) {
				return strings.TrimSuffix(line, "\n"), nil
			}
		}
		if ended {
			return "", fmt.Errorf("%s ended without printing %q: %w: %s", p.name, text, cmp.Or(p.err, errDone), out)
		}
		select {
		case <-changed:
		case <-p.done:
		case <-ctx.Done():
			return "", fmt.Errorf("%s has not printed %q: %w", p.name, text, context.Cause(ctx))
		}
	}
}

// transcript collects what a process prints, and tells who waits for more.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed, and replaced, by each Write
}

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.changed = make(chan struct{})
	return t.text.Write(b)
}

func (t *transcript) read() (string, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String(), t.changed
}
