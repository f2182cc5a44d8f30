package bgp

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const inNamespace = "TERRANE_TEST_NAMESPACE"

// isolate runs the calling test again, in a process of its own within a new
// network namespace that dies with it, and reports whether this is that process.
// Without root the test is skipped.
func isolate(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		sh(t, "ip", "link", "set", "lo", "up")
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	return again(t, inNamespace, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL})
}

// host is a namespace beside that of the test, joined to it by a cable:
// 10.0.0.1 and fd00::1 are there, .2 and ::2 here.
type host struct {
	t   *testing.T
	pid int
	dir string
}

// newHost makes a host; n tells several apart: the third octet is n.
func newHost(t *testing.T, n int) *host {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	h := &host{t: t, pid: holder.Process.Pid, dir: t.TempDir()}
	here, there := fmt.Sprintf("edge%d", n), fmt.Sprintf("router%d", n)
	sh(t, "ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", strconv.Itoa(h.pid))
	sh(t, "ip", "addr", "add", fmt.Sprintf("10.0.%d.2/24", n), "dev", here)
	sh(t, "ip", "addr", "add", fmt.Sprintf("fd00:%d::2/64", n), "dev", here, "nodad")
	sh(t, "ip", "link", "set", here, "up")
	h.run("ip", "link", "set", "lo", "up")
	h.run("ip", "addr", "add", fmt.Sprintf("10.0.%d.1/24", n), "dev", there)
	h.run("ip", "addr", "add", fmt.Sprintf("fd00:%d::1/64", n), "dev", there, "nodad")
	h.run("ip", "link", "set", there, "up")
	return h
}

// command is a command within the host's namespace.
func (h *host) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"-t", strconv.Itoa(h.pid), "-n"}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (h *host) run(args ...string) string {
	h.t.Helper()
	return output(h.t, h.command(h.t.Context(), args...))
}

// daemon starts a program that stays until the test ends.
func (h *host) daemon(args ...string) *exec.Cmd {
	h.t.Helper()
	cmd := h.command(context.Background(), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if h.t.Failed() {
			h.t.Logf("%s said:\n%s", args[0], out.String())
		}
	})
	return cmd
}

// file writes a file for a daemon.
func (h *host) file(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// until polls a command, as routers tell nobody when their tables change.
func (h *host) until(what string, ok func(string) bool, args ...string) string {
	h.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(3 * time.Minute)
	for {
		out, _ := h.command(h.t.Context(), args...).CombinedOutput()
		if ok(string(out)) {
			return string(out)
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("%s: never; %s says\n%s", what, strings.Join(args, " "), out)
		}
	}
}

func has(s string) func(string) bool {
	return func(out string) bool { return strings.Contains(out, s) }
}
func lacks(s string) func(string) bool {
	return func(out string) bool { return !strings.Contains(out, s) }
}

func sh(t *testing.T, args ...string) string {
	t.Helper()
	return output(t, exec.CommandContext(t.Context(), args[0], args[1:]...))
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// need skips the test unless the program is installed.
func need(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/usr/lib/frr/" + program); err != nil {
			t.Skipf("needs %s (apt-get install %s)", program, pkg)
		}
	}
	return path
}
