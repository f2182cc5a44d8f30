package members_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/members"
)

// TestForgetKilled kills an edge, which says no farewell, and forgets it as soon as that is
// not refused.
func TestForgetKilled(t *testing.T) {
	t.Parallel()
	options := latticetest.Cluster(t, "ams", 3)
	killed := latticetest.Spawn(t, &options[2], func(string) {})
	var first *members.Members
	for i := range options[:2] {
		options[i].Logger = latticetest.Logger(t)
		l, err := lattice.New(options[i])
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, l.Run)
		m, err := members.New(members.Options{Lattice: l, ForgetAfter: -1})
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, m.Run)
		if i == 0 {
			first = m
		}
	}
	latticetest.Await(t, func() bool {
		s := first.Status()
		return len(s.Members) == 3 && !slices.ContainsFunc(s.Members, func(x members.Member) bool { return !x.Live })
	}, nil)
	killed.Kill()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := first.Forget(ctx, "ams3", members.Override{})
		if err == nil {
			break
		}
		if !errors.Is(err, members.ErrHeard) {
			t.Fatalf("after %s: %v", time.Since(begun), err)
		}
	}
	t.Logf("it was not heard any more after %s", time.Since(begun))
	if s, err := first.Wait(ctx); err != nil || len(s.Members) != 2 {
		t.Errorf("%v: %+v", err, s)
	}
}
