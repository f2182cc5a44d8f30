package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idleFor is how long idle edges are watched.
const idleFor = 20 * time.Second

// TestAnycastIdle measures what announcing costs an edge that nobody visits.
func TestAnycastIdle(t *testing.T) {
	if *outageRuns == 0 {
		t.Skip("figures take minutes: make lab")
	}
	needsAnycast(t)
	ctx := within(t, patience)
	p := newPlanet(ctx, t, buildTerrane(t), layout{front: "bird"})
	kinds := []struct {
		name   string
		change func(string) string
	}{
		{"two BGP sessions", withoutBFD},
		{"and BFD with both, every 100 ms", func(config string) string { return config }},
		{"without `[bgp]`", func(config string) string { config, _, _ = strings.Cut(config, "[bgp]"); return config }},
	}
	var edges []*edge
	for _, k := range kinds {
		p.change = k.change
		edges = append(edges, p.addEdge(ctx, t, p.near, 0))
	}
	p.near.edges = edges[:2] // those announced
	p.announced(ctx, t)
	before := make([]time.Duration, len(edges))
	for i, e := range edges {
		before[i] = busy(t, e.process.Pid())
	}
	<-time.After(idleFor)
	table := []string{"", "| idle edge | resident memory, MB | CPU, % of a core |", "|---|---|---|"}
	for i, e := range edges {
		used := busy(t, e.process.Pid()) - before[i]
		table = append(table, fmt.Sprintf("| %s | %.1f | %.2f |", kinds[i].name, resident(t, e.process.Pid()), 100*used.Seconds()/idleFor.Seconds()))
	}
	t.Log(strings.Join(table, "\n"))
}

// busy is how long the process has run on a processor.
func busy(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	threads := must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)))(t)
	if len(threads) == 0 {
		t.Fatalf("process %d is gone", pid)
	}
	for _, file := range threads {
		fields := strings.Fields(string(must(os.ReadFile(file))(t)))
		sum += time.Duration(must(strconv.ParseInt(fields[0], 10, 64))(t))
	}
	return sum
}

// resident is the memory of the process in MB.
func resident(t *testing.T, pid int) float64 {
	t.Helper()
	status := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)))(t))
	_, rest, _ := strings.Cut(status, "VmRSS:")
	return float64(must(strconv.Atoi(strings.Fields(rest)[0]))(t)) / 1024
}
