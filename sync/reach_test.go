package sync

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/sync/internal/gitrepo"
)

// TestReach: an origin that does not answer is given up, and faults name their store.
func TestReach(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // connections are never accepted
	if err != nil {
		t.Fatal(err)
	}
	silent := Store{Prefix: "/s/", Git: &Git{URL: "http://" + ln.Addr().String() + "/x"}}
	s := newStore(&Syncer{o: Options{Data: t.TempDir()}, log: slog.New(slog.DiscardHandler)}, silent)
	if err := gitrepo.Reach(t.Context(), s.gitOptions(), 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "no answer within 100ms: ") {
		t.Errorf("a silent origin: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	err = Options{Stores: []Store{
		{Prefix: "/f/", Folder: &Folder{Path: "/none"}}, silent, {Prefix: "/h/", Git: &Git{URL: "file:///none", Hosted: true}},
	}}.Reach(t.Context())
	faults, rest := fault.Split(err)
	if len(faults) != 1 || rest != nil || faults[0].Key != "store[1].url" || !strings.Contains(faults[0].Error(), "connection refused") {
		t.Errorf("got %v, %v", faults, rest)
	}
}
