package latticetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/terrane/terrane/internal/lattice"
)

// child, in the environment, has the options of the edge that this process is to be.
const child = "TERRANE_TEST_EDGE"

// Child is for TestMain: in a process that Spawn has started it runs the lattice and
// be, and does not return.
func Child(be func(ctx context.Context, l *lattice.Lattice) error) {
	text := os.Getenv(child)
	if text == "" {
		return
	}
	var o lattice.Options
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		var l *lattice.Lattice
		if l, err = lattice.New(o); err == nil {
			ended := make(chan error, 2)
			go func() { ended <- l.Run(context.Background()) }()
			go func() { ended <- be(context.Background(), l) }()
			err = <-ended
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Process is an edge that a test can kill.
type Process struct {
	*os.Process
	cmd  *exec.Cmd
	done chan struct{}
}

// Spawn runs this test's executable as an edge, until the test ends. heard gets the
// lines that it prints, one after the other; none comes after Kill.
func Spawn(t testing.TB, o *lattice.Options, heard func(line string)) *Process {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0]), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), child+"="+string(text)), t.Output()
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p.Process = p.cmd.Process
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			heard(lines.Text())
		}
		_ = p.cmd.Wait() // killed
	}()
	t.Cleanup(p.Kill)
	return p
}

// Kill sends SIGKILL to processes, to all before it waits for any.
func Kill(list ...*Process) {
	for _, p := range list {
		_ = p.Process.Kill() // fails where it has ended
	}
	for _, p := range list {
		<-p.done
	}
}

// Kill kills the process, and waits.
func (p *Process) Kill() { Kill(p) }

// Cluster has options of the n edges of one region, REGION1 and so on, on ports that
// were free a moment ago.
func Cluster(t testing.TB, region string, n int) []lattice.Options {
	t.Helper()
	list := make([]lattice.Options, n)
	for i := range list {
		list[i] = lattice.Options{Name: fmt.Sprint(region, i+1), Region: region, Dir: t.TempDir()}
		if n == 1 {
			continue
		}
		list[i].Cluster.Listen = FreeAddr(t)
	}
	for i := range list {
		for j := range list {
			if i != j {
				list[i].Cluster.Routes = append(list[i].Cluster.Routes, "nats://"+list[j].Cluster.Listen)
			}
		}
	}
	return list
}

// FreeAddr is a port of loopback that nobody listens on, below those that the kernel
// gives to connections: one of them could have it before its listener is there, or is
// there again.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		var ln net.Listener
		if ln, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))); err == nil { //nolint:noctx // closed at once
			err = ln.Close()
		}
		if err == nil {
			return ln.Addr().String()
		}
	}
	t.Fatal(err)
	return ""
}
