package redistest

import (
	"context"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Server is a server on a socket in its folder, whose answers are on the disk.
type Server struct {
	URL  string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a server on what an earlier one left in dir. It ends with the test,
// which is skipped where there is no such program.
func Start(t testing.TB, dir string) *Server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if bin, err = exec.LookPath("valkey-server"); err != nil {
			t.Skip("neither redis-server nor valkey-server is installed")
		}
	}
	socket := filepath.Join(dir, "s")
	s := &Server{URL: "unix://" + socket, done: make(chan struct{})}
	s.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), bin, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(s.done); _ = s.cmd.Wait() }() // killed
	t.Cleanup(s.Kill)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		if pong(t, socket) {
			return s
		}
		select {
		case <-tick.C:
		case <-s.done:
			t.Fatal("the server has ended")
		case <-deadline:
			t.Fatal("the server does not answer")
		}
	}
}

// Kill ends the server at once.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// pong reports whether the server answers, which it does when it has read its disk.
func pong(t testing.TB, socket string) bool {
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
	if err != nil {
		return false
	}
	defer conn.Close() //nolint:errcheck // it was only asked
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	answer := make([]byte, 5)
	_, err = io.ReadFull(conn, answer)
	return err == nil && string(answer) == "+PONG"
}
