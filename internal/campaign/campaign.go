// Package campaign is what fault campaigns have in common: how often they try, and how
// they report it to "make reliability". Only tests import it.
package campaign

import (
	"os"
	"testing"
)

// Tries returns full in "make reliability", which sets TERRANE_CAMPAIGN to "full", and
// few in all other runs.
func Tries(few, full int) int {
	if os.Getenv("TERRANE_CAMPAIGN") == "full" {
		return full
	}
	return few
}

// Row reports a campaign as one row of the table. It logs nothing once the test has
// failed: that row is the failure.
func Row(t *testing.T, attack string, tries int, outcome string) {
	t.Helper()
	if !t.Failed() {
		t.Logf("campaign: %s | %d | %s", attack, tries, outcome)
	}
}
