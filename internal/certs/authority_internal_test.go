package certs

import (
	"bytes"
	"testing"

	"github.com/terrane/terrane/internal/disktest"
)

// TestAuthorityOpensOnAFullDisk: an edge must start on one.
func TestAuthorityOpensOnAFullDisk(t *testing.T) {
	disk := disktest.NewSmall(t, "1m")
	made, err := openAuthority(disk.Dir)
	if err != nil {
		t.Fatal(err)
	}
	disk.Fill(t, 0)
	found, err := openAuthority(disk.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.rootPEM(), found.rootPEM()) {
		t.Error("another authority")
	}
}
