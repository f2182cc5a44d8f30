package edge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

func TestDoctorOfClocks(t *testing.T) {
	e := edgetest.Start(t, func(c *config.Config) { c.Lattice.Listen = "127.0.0.1:0" })
	if _, err := e.Lattice.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.SetClock(func() time.Duration { return -90 * time.Second })
	const want = "this one is 1m30s ahead of that of the edge that leads"
	if _, body := e.Get("/doctor"); !strings.Contains(body, want) {
		t.Errorf("want %q in %s", want, body)
	}
}
