package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/server"
)

func TestLogsKeepTheNewest(t *testing.T) {
	l := server.NewLogs(server.LogsOptions{Bytes: 10 * (128 + 2), Tenants: 2})
	alice := l.Of("/git/alice")
	for i := range 25 {
		alice.Log(&hostcalls.Request{ID: "q", Module: "m.wasm"}, slog.LevelInfo, fmt.Sprintf("%02d", i))
	}
	l.Of("/git/bob").Log(&hostcalls.Request{}, slog.LevelInfo, "bob's")
	l.Of("/git/third").Log(&hostcalls.Request{}, slog.LevelInfo, "not kept")
	read := func(n int) string {
		var got []string
		marks := 0
		for line := range l.Read(t.Context(), "/git/alice", n, false) {
			if line == (server.LogLine{}) {
				marks++
				continue
			}
			if marks > 0 || line.Request != "q" || line.Module != "m.wasm" || line.Time.IsZero() {
				t.Errorf("%+v", line)
			}
			got = append(got, line.Text)
		}
		if marks != 1 {
			t.Errorf("the end of the kept lines is marked %d times", marks)
		}
		return strings.Join(got, " ")
	}
	for n, want := range map[int]string{-1: "", 0: "", 2: "23 24", 100: "15 16 17 18 19 20 21 22 23 24"} {
		if got := read(n); got != want {
			t.Errorf("last %d: %q, want %q", n, got, want)
		}
	}
	for line := range l.Read(t.Context(), "/git/third", 10, true) {
		if line != (server.LogLine{}) {
			t.Error("a tenant too many is kept")
		}
	}
	large := strings.Repeat("x", 5000) // more than all the room
	alice.Log(&hostcalls.Request{ID: "q", Module: "m.wasm"}, slog.LevelInfo, large)
	if got := read(100); got != large {
		t.Errorf("%d bytes", len(got))
	}
}

func TestLogsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := server.NewLogs(server.LogsOptions{Bytes: 2000})
		log := l.Of("/git/alice")
		write := func(i int) { log.Log(&hostcalls.Request{}, slog.LevelInfo, strconv.Itoa(i)) }
		write(0)
		write(1)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		var wg sync.WaitGroup
		proceed := make(chan struct{})
		wg.Go(func() {
			for line := range l.Read(ctx, "/git/alice", 1, true) {
				if line == (server.LogLine{}) {
					continue
				}
				got = append(got, line.Text)
				<-proceed
			}
		})
		proceed <- struct{}{}
		synctest.Wait()
		write(2)
		synctest.Wait() // it has line 2 and dawdles
		for i := range 100 {
			write(3 + i)
		}
		close(proceed)
		synctest.Wait()
		cancel()
		wg.Wait()
		if len(got) < 5 || got[0] != "1" || got[1] != "2" || !strings.HasSuffix(got[2], "lines missed") || got[len(got)-1] != "102" {
			t.Errorf("got %q", got)
		}
	})
}
