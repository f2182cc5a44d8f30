package state

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/internal/lattice"
)

// TestDiskLowForNoLonger: an edge that has said that its disk is low is believed for lowTTL,
// also when the lattice's clock was put back since.
func TestDiskLowForNoLonger(t *testing.T) {
	l, err := lattice.New(lattice.Options{Name: "ams1", Region: "ams", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, ago := range []time.Duration{0, lowTTL / 2, -12 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := &Store{lattice: l}
			s.disks.low, s.disks.replicas = map[string]time.Time{}, 1
			s.disks.take("ams2", true, ago)
			if err := s.checkDisks(); !errors.Is(err, errDiskFull) {
				t.Errorf("said %s ago: %v", ago, err)
			}
			<-time.After(lowTTL + time.Second)
			if err := s.checkDisks(); err != nil {
				t.Errorf("said %s ago, and %s later: %v", ago, lowTTL, err)
			}
		})
	}
}
