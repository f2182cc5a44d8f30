package members_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/members"
)

// TestCampaignForgottenReturns has an edge that was forgotten come back: it was
// there and is forgotten by force. NATS lets it only after five minutes.
func TestCampaignForgottenReturns(t *testing.T) {
	full(t)
	c := start(t, -1)
	if err := c.edges["ams1"].members.Forget(t.Context(), "ams3", members.Override{Heard: true}); err != nil {
		t.Fatal(err)
	}
	latticetest.Await(t, func() bool {
		return !c.edges["ams3"].Standing().Joined && len(c.edges["ams1"].members.Status().Members) == 2
	}, nil)
	begun := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		s := c.edges["ams1"].members.Status()
		if s.Problem == "" && len(s.Members) == 3 && s.Settled() {
			break
		}
		if time.Since(begun) > 8*time.Minute {
			t.Fatalf("the edge is no member yet: %+v", s)
		}
		<-tick.C
	}
	took := time.Since(begun)
	c.whole(3)
	c.lose("ams2")
	c.write("without ams2")
	c.check()
	fmt.Printf("campaign: an edge that was forgotten comes back | 1 | it is a member with all copies after %s, no key is lost\n", took.Round(time.Second))
}

// full skips what takes minutes, but for make reliability.
func full(t *testing.T) {
	t.Helper()
	if os.Getenv("TERRANE_CAMPAIGN") != "full" {
		t.Skip("it takes minutes: TERRANE_CAMPAIGN=full")
	}
}

// TestCampaignForgetWithoutMajority loses two of three edges for good.
func TestCampaignForgetWithoutMajority(t *testing.T) {
	full(t)
	c := start(t, -1)
	c.lose("ams2")
	c.lose("ams3")
	left := c.edges["ams1"].members
	latticetest.Await(t, func() bool { return left.Status().Problem != "" }, nil)
	for _, name := range []string{"ams2", "ams3"} {
		if err := left.Forget(t.Context(), name, members.Override{Majority: true}); err != nil {
			t.Fatal(err)
		}
	}
	c.write("alone")
	c.check()
	c.run(c.net.Add("ams", func(*lattice.Options) {}))
	c.run(c.net.Add("ams", func(*lattice.Options) {}))
	c.whole(3)
	c.lose("ams1")
	c.write("with two new edges")
	c.check()
	fmt.Println("campaign: two of three edges are lost for good and forgotten without a majority | 1 | no key is lost; two new edges restore three copies")
}
