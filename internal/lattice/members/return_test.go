package members_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// TestCampaignForgottenReturns has an edge that was forgotten come back: it was
// there and is forgotten by force. NATS lets it only after five minutes.
func TestCampaignForgottenReturns(t *testing.T) {
	if os.Getenv("TERRANE_CAMPAIGN") != "full" {
		t.Skip("it takes six minutes: TERRANE_CAMPAIGN=full")
	}
	c := start(t, -1)
	if err := c.edges["ams1"].members.Forget(t.Context(), "ams3", true); err != nil {
		t.Fatal(err)
	}
	latticetest.Await(t, func() bool {
		joined, _ := c.edges["ams3"].Standing()
		return !joined && len(c.edges["ams1"].members.Status().Members) == 2
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
