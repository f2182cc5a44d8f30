package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keeper is the handle of the process that removes what a lab made. It is told
// each thing before the thing is made, over a pipe; the pipe's end is the order to
// remove, and comes with this process's end, however that happens.
type keeper struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  bytes.Buffer // complaints; read after Wait
}

// What a keeper can be told to remove.
const (
	namespace = "namespace"
	folder    = "folder"
)

func startKeeper(ctx context.Context) (*keeper, error) {
	// The keeper outlives ctx: it has to clean up after it.
	cmd, err := roleCommand(context.WithoutCancel(ctx), roleKeeper)
	if err != nil {
		return nil, err
	}
	k := &keeper{cmd: cmd}
	// A session of its own, so that no interrupt from the terminal reaches it. Its
	// output goes to a pipe of ours: go test would wait for whoever holds its own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = &k.said
	if k.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("keeper: %w", err)
	}
	return k, nil
}

func (k *keeper) owns(kind, name string) error {
	if _, err := fmt.Fprintln(k.stdin, kind, name); err != nil {
		return fmt.Errorf("keeper: %w", err)
	}
	return nil
}

func (k *keeper) close() error {
	if k.cmd.ProcessState != nil {
		return nil
	}
	_ = k.stdin.Close()
	if err := k.cmd.Wait(); err != nil {
		return fmt.Errorf("keeper: %w: %s", err, bytes.TrimSpace(k.said.Bytes()))
	}
	return nil
}

// keep is the keeper process.
func keep(ctx context.Context, _ []string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	var things []string
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		things = append(things, in.Text())
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var errs []error
	for _, thing := range slices.Backward(things) {
		switch kind, name, _ := strings.Cut(thing, " "); kind {
		case namespace:
			errs = append(errs, removeNamespace(ctx, name))
		case folder:
			errs = append(errs, os.RemoveAll(name))
		}
	}
	return errors.Join(errs...)
}

// removeNamespace kills the processes in the namespace and deletes it. One that
// does not exist is fine: it was announced and then not made.
func removeNamespace(ctx context.Context, name string) error {
	pids := func() []string {
		out, err := exec.CommandContext(ctx, "ip", "netns", "pids", name).Output() //nolint:gosec // a name this package made
		if err != nil {
			return nil
		}
		return strings.Fields(string(out))
	}
	err := Until(ctx, func(context.Context) error {
		left := pids()
		for _, s := range left {
			if pid, err := strconv.Atoi(s); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("namespace %s: processes %v live on", name, left)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(namespaces + name); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "ip", "netns", "del", name).CombinedOutput(); err != nil { //nolint:gosec // as above
		return fmt.Errorf("ip netns del %s: %w: %s", name, err, out)
	}
	return nil
}
