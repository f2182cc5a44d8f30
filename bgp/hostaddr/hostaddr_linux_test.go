package hostaddr

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCheck(t *testing.T) {
	if err := Check(netip.MustParseAddr("127.0.0.1"))(t.Context()); err != nil {
		t.Error(err)
	}
	err := Check(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.10"))(t.Context())
	if err == nil || !strings.Contains(err.Error(), "192.0.2.10 is not on this host: ip addr add 192.0.2.10/32 dev lo") {
		t.Errorf("an absent address: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, addrs := range [][]netip.Addr{nil, {netip.MustParseAddr("127.0.0.1")}, {netip.Addr{}}, {netip.MustParseAddr("fe80::1%lo")}} {
		if _, err := New(Options{Addresses: addrs}); err == nil {
			t.Errorf("%v: no error", addrs)
		}
	}
}

// TestManager runs in a network namespace of its own, twice: with CAP_NET_ADMIN
// and without.
func TestManager(t *testing.T) {
	switch os.Getenv("TERRANE_TEST_NAMESPACE") {
	case "":
		if os.Getuid() != 0 {
			t.Skip("needs root to make network namespaces")
		}
		for _, mode := range []string{"root", "nobody"} {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestManager$", "-test.v")
			cmd.Env = append(os.Environ(), "TERRANE_TEST_NAMESPACE="+mode)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("as %s: %v\n%s", mode, err, out)
			}
		}
	case "root":
		testOwns(t)
	case "nobody":
		if err := syscall.Setuid(65534); err != nil {
			t.Fatal(err)
		}
		testPowerless(t)
	}
}

func testOwns(t *testing.T) {
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")}
	check := Check(addrs...)
	until := func(present bool) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(2 * time.Minute); (check(t.Context()) == nil) != present; {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("present = %v: never", present)
			}
		}
	}
	m, err := New(Options{Addresses: addrs, Interval: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	until(true)
	if err := m.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for _, a := range addrs {
		ln, err := net.Listen("tcp", net.JoinHostPort(a.String(), "0"))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = ln.Close()
	}
	if out, err := exec.Command("ip", "addr", "del", "192.0.2.10/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(true)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if missing, err := missing(addrs); err != nil || len(missing) != len(addrs) {
		t.Errorf("afterwards %v are missing, %v", missing, err)
	}
}

func testPowerless(t *testing.T) {
	var log lockedBuffer
	m, err := New(Options{
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}, Interval: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := m.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "192.0.2.10 is not on this host: 192.0.2.10: no CAP_NET_ADMIN") {
		t.Errorf("check: %v", err)
	}
	if got := log.String(); strings.Count(got, "cannot be put") != 1 || !strings.Contains(got, "no CAP_NET_ADMIN") {
		t.Errorf("log:\n%s", got)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
