package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

// memoryGroup makes a cgroup of so many bytes, version 1 or 2, and returns its folder.
func memoryGroup(t *testing.T, bytes int64) string {
	t.Helper()
	for _, g := range []struct{ root, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(g.root, "terrane-test-"+strconv.Itoa(os.Getpid()))
		if _, err := os.Stat(filepath.Join(g.root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o700) != nil {
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		if os.WriteFile(filepath.Join(dir, g.limit), strconv.AppendInt(nil, bytes, 10), 0o600) == nil {
			_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0o600) // version 2 alone has it
			return dir
		}
	}
	t.Skip("this machine lets nobody make a memory cgroup")
	return ""
}

// inGroup makes a command start in a cgroup.
func inGroup(dir string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(dir, "cgroup.procs"), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
}

// killed is how often the kernel has killed for want of memory in a cgroup.
func killed(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, name := range []string{"memory.oom_control", "memory.events"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if count, found := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); found {
				n, _ = strconv.Atoi(count)
				return n
			}
		}
	}
	t.Fatalf("%s does not say how often the kernel has killed", dir)
	return 0
}

// TestCampaignSmallMemory has an edge in a memory cgroup of 256 MiB, with many tenants, whose
// guests take all the memory they get, large bodies, large files and deploys. It is not
// killed, and small requests are answered all the time.
func TestCampaignSmallMemory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("wants root, for a cgroup")
	}
	const tenants, room = 16, 256 << 20
	rounds := campaign.Tries(1, 20)
	group := memoryGroup(t, room)
	p := startProcess(t, build(t, "small-memory"), "", inGroup(group))
	hog, file := edgetest.File(t, "cmd/terrane/testdata/guests/hog.wasm"), make([]byte, 20<<20)
	for i := range tenants {
		name := "hog" + strconv.Itoa(i)
		p.domain(name)
		files := map[string][]byte{"index.wasm": hog}
		if i%8 == 0 {
			files["file"] = file
		}
		p.deploy(name, files)
	}
	p.domain("small")
	p.deploy("small", map[string][]byte{"index.html": []byte("small"), "hello.wasm": edgetest.File(t, "examples/hello-rust/hello.wasm")})
	p.await("the small site", func() bool { return p.shows("small", "/", "small") })
	p.await("the last hog", func() bool {
		code, _, err := p.ask("hog"+strconv.Itoa(tenants-1), "/", "")
		return err == nil && code == http.StatusOK
	})

	var served, refused, late, other atomic.Int64
	large := strings.Repeat("x", 9<<20)
	for round := range rounds {
		var load sync.WaitGroup
		send := func(i int, path, body string) {
			load.Go(func() {
				code, text, err := p.ask("hog"+strconv.Itoa(i%tenants), path, body)
				switch {
				case err != nil:
					t.Errorf("round %d: %s: %v", round, path, err)
				case code == http.StatusOK:
					served.Add(1)
				case code == http.StatusServiceUnavailable:
					refused.Add(1)
				case code == http.StatusGatewayTimeout: // it filled memory for longer than it may compute
					late.Add(1)
				default:
					other.Add(1)
					t.Logf("round %d: %s: %d %q", round, path, code, text)
				}
			})
		}
		for i := range 2 * tenants {
			send(i, "/", "")
			if i%4 == 0 {
				send(i, "/", large)
			}
			if i%8 == 0 {
				send(i, "/file", "")
			}
		}
		page := fmt.Sprint("page ", round)
		p.deploy("small", map[string][]byte{"index.html": []byte(page), "hello.wasm": edgetest.File(t, "examples/hello-rust/hello.wasm")})
		done := make(chan struct{})
		go func() { defer close(done); load.Wait() }()
		for small, end := 0, false; !end; small++ {
			began := time.Now()
			if code, _, err := p.ask("small", "/", ""); err != nil || code != http.StatusOK {
				t.Errorf("round %d: a small request: %d %v", round, code, err)
			}
			if code, text, err := p.ask("small", "/hello", ""); err != nil || code != http.StatusOK {
				t.Errorf("round %d: a small guest: %d %q %v", round, code, text, err)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("round %d: two small requests took %v", round, took)
			}
			select {
			case <-done:
				end = true
			default:
			}
		}
		p.await("a deploy", func() bool { return p.shows("small", "/", page) })
		if err := p.ready(); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if n := killed(t, group); n > 0 || t.Failed() {
			t.Fatalf("round %d: the kernel killed %d times\n%s", round, n, p.tail())
		}
	}
	if served.Load() == 0 || other.Load() > 0 {
		t.Errorf("%d served, %d refused, %d answered otherwise", served.Load(), refused.Load(), other.Load())
	}
	t.Logf("%d served, %d refused for want of room, %d late", served.Load(), refused.Load(), late.Load())
	campaign.Row(t, "256 MiB memory cgroup: 16 tenants whose guests take all memory they get, bodies of 9 MiB, files of 20 MiB, deploys", rounds,
		"the edge is not killed, refuses with 503 what has no room, small requests are answered, deploys go live")
}
