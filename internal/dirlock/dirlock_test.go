package dirlock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/dirlock"
)

func take(t *testing.T, dir string) *dirlock.Lock {
	t.Helper()
	l, err := dirlock.Take(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "git")
	held := take(t, dir)
	_, err := dirlock.Take(dir)
	if !errors.Is(err, dirlock.ErrInUse) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("Take of a folder in use = %v, want ErrInUse with folder and pid", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := dirlock.Wait(stopped, dir, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait whose context has ended = %v", err)
	}

	got := make(chan error)
	go func() {
		l, err := dirlock.Wait(t.Context(), dir, time.Hour)
		if err == nil {
			err = l.Release()
		}
		got <- err
	}()
	if err := held.Release(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error("who waits gets it: ", err)
	}
	if err := take(t, dir).Release(); err != nil {
		t.Error(err)
	}
}

func TestTakeRefusesAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dirlock.Take(file); err == nil || errors.Is(err, dirlock.ErrInUse) {
		t.Errorf("Take of a file = %v", err)
	}
}
