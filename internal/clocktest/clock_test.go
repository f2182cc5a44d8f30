package clocktest_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/clocktest"
)

const child = "TERRANE_TEST_CLOCK"

// TestMain is a clock that answers each line, in a process that TestJumps has started.
func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	begun := time.Now()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(time.Now().Unix(), int64(time.Since(begun)))
	}
}

func TestJumps(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), child+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	}()
	var last time.Duration
	shows := func(ahead time.Duration) {
		t.Helper()
		var wall int64
		var since time.Duration
		before := time.Now()
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fscan(out, &wall, &since); err != nil {
			t.Fatal(err)
		}
		got := time.Unix(wall, 0).Add(-ahead)
		if got.Before(before.Truncate(time.Second)) || got.After(time.Now()) {
			t.Errorf("ahead by %v: the clock shows %v, want %v", ahead, got.Add(ahead), before.Add(ahead))
		}
		if since < last || since > time.Hour/2 {
			t.Errorf("ahead by %v: the monotonic clock went from %v to %v", ahead, last, since)
		}
		last = since
	}
	shows(0)
	clock, err := clocktest.Of(cmd.Process.Pid)
	if err != nil {
		t.Skip(err)
	}
	shows(0)
	for _, ahead := range []time.Duration{time.Hour, -12 * time.Hour, 100 * 24 * time.Hour, 0} {
		if err := clock.Set(ahead); err != nil {
			t.Fatal(err)
		}
		shows(ahead)
	}
}
