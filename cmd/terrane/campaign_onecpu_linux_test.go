package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

// onOneCPU makes a command, and all that it starts, run on one CPU, and Go use one.
func onOneCPU(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		t.Skip("wants taskset")
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"taskset", "-c", strconv.Itoa(cpu), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = taskset
		cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
	}
}

// wasmSection is a section of a module.
func wasmSection(id byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{id}, uint64(len(body))), body...)
}

// wasmModule is a module that does nothing, with so many functions, whose code has the
// number salt in it. With endless it computes for ever.
func wasmModule(functions int, salt uint32, endless bool) []byte {
	run := []byte{0x00, 0x0b} // no locals, end
	if endless {
		run = []byte{0x00, 0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b} // loop, br 0
	}
	body := []byte{0x01, 0x01, 0x7f}                                                                                 // one local, of type i32
	add := append(append([]byte{0x20, 0x00, 0x41}, binary.AppendUvarint(nil, uint64(salt%64))...), 0x6a, 0x21, 0x00) // local.get, i32.const, add, local.set
	body = append(append(body, slices.Repeat(add, 20)...), 0x0b)
	count := binary.AppendUvarint(nil, uint64(functions)+1)
	code := append(append(slices.Clone(count), byte(len(run))), run...)
	for range functions {
		code = append(binary.AppendUvarint(code, uint64(len(body))), body...)
	}
	m := []byte("\x00asm\x01\x00\x00\x00")
	m = append(m, wasmSection(1, []byte{1, 0x60, 0, 0})...)
	m = append(m, wasmSection(3, append(slices.Clone(count), make([]byte, functions+1)...))...)
	m = append(m, wasmSection(5, []byte{1, 0, 1})...)
	m = append(m, wasmSection(7, []byte("\x02\x06memory\x02\x00\x03run\x00\x00"))...)
	m = append(m, wasmSection(10, code)...)
	return append(m, wasmSection(0, fmt.Appendf(nil, "\x04salt%d", salt))...)
}

// cpuCampaign is an edge on one CPU, and the load on it.
type cpuCampaign struct {
	*ownProcess
	end     chan struct{}
	load    sync.WaitGroup
	written atomic.Int64
	late    atomic.Int64 // computations that were ended
	refused atomic.Int64
}

// repeat does something until the load ends.
func (c *cpuCampaign) repeat(f func(n int)) {
	c.load.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-c.end:
				return
			default:
				f(n)
			}
		}
	})
}

// stall opens a connection that asks for the large file and never reads.
func (c *cpuCampaign) stall() {
	config := c.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "slow.example"
	conn, err := tls.Dial("tcp", c.https, config)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte("GET /file HTTP/1.1\r\nHost: slow.example\r\n\r\n")); err != nil {
		c.t.Error(err)
	}
}

// TestCampaignOneCPU has an edge on one CPU, with many tenants, one that computes without end,
// visitors that read nothing, writes to state and deploys of large modules. It stays ready,
// other tenants are answered, deploys go live, and SIGTERM ends it within its bound.
func TestCampaignOneCPU(t *testing.T) {
	const (
		tenants = 16
		slow    = 32
		drain   = 3 * time.Second // of startProcess
	)
	rounds, large := campaign.Tries(1, 10), campaign.Tries(3_000, 30_000) // functions, of 140 bytes
	c := &cpuCampaign{end: make(chan struct{})}
	c.ownProcess = startProcess(t, build(t, "one-cpu"), "", onOneCPU(t))
	stop := sync.OnceFunc(func() { close(c.end); c.load.Wait() })
	defer stop()
	for name, files := range map[string]map[string][]byte{
		"small":    {"index.html": []byte("small"), "hello.wasm": edgetest.File(t, "examples/hello-rust/hello.wasm")},
		"slow":     {"file": make([]byte, 20<<20)},
		"computes": {"index.wasm": wasmModule(0, 0, true)},
		"keep":     {"index.wasm": edgetest.File(t, "cmd/terrane/testdata/guests/keep.wasm")},
	} {
		c.domain(name)
		c.deploy(name, files)
	}
	for i := range tenants {
		name := "many" + strconv.Itoa(i)
		c.domain(name)
		c.deploy(name, map[string][]byte{"index.wasm": edgetest.File(t, "examples/hello-rust/hello.wasm")})
	}
	c.domain("large")
	c.await("the small site", func() bool { return c.shows("small", "/", "small") })
	for _, name := range []string{"keep", "many" + strconv.Itoa(tenants-1), "slow"} {
		c.await(name, func() bool { code, _, err := c.ask(name, "/file", ""); return err == nil && code == http.StatusOK })
	}

	for range 4 {
		c.repeat(func(int) {
			switch code, _, err := c.ask("computes", "/", ""); {
			case err != nil:
				t.Errorf("a tenant that computes: %v", err)
			case code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests:
				c.refused.Add(1)
			case code == http.StatusGatewayTimeout:
				c.late.Add(1)
			default:
				t.Errorf("a tenant that computes: %d", code)
			}
		})
	}
	for writer := range 4 {
		c.repeat(func(n int) {
			if code, text, err := c.ask("keep", fmt.Sprintf("/%d-%d", writer, n), "value"); err != nil || code != http.StatusOK {
				t.Errorf("a write: %d %q %v", code, text, err)
			}
			c.written.Add(1)
		})
	}
	for range slow {
		c.stall()
	}
	t.Logf("%d writes before the first deploy", c.written.Load())
	var took []time.Duration
	var deploys time.Duration
	for round := range rounds {
		c.deploy("large", map[string][]byte{"index.wasm": wasmModule(large, uint32(round+1), false), "page.html": []byte(strconv.Itoa(round))})
		begun, live := time.Now(), false
		for n := 0; !live || n < 50; n++ {
			for name, path := range map[string]string{"small": "/", "many" + strconv.Itoa(n%tenants): "/"} {
				asked := time.Now()
				if code, text, err := c.ask(name, path, ""); err != nil || code != http.StatusOK {
					t.Errorf("round %d: %s: %d %.100q %v", round, name, code, text, err)
				}
				took = append(took, time.Since(asked))
			}
			if err := c.ready(); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			if !live && c.shows("large", "/page.html", strconv.Itoa(round)) {
				live, deploys = true, max(deploys, time.Since(begun))
			}
			if t.Failed() || time.Since(begun) > 2*time.Minute {
				t.Fatalf("round %d: deployed: %v\n%s", round, live, c.tail())
			}
		}
		if code, text, err := c.ask("large", "/", ""); err != nil || code != http.StatusOK {
			t.Errorf("round %d: the large module: %d %q %v", round, code, text, err)
		}
	}
	if c.written.Load() == 0 || c.late.Load() == 0 {
		t.Errorf("%d writes, %d computations: this is no load", c.written.Load(), c.late.Load())
	}
	slices.Sort(took)
	stop()
	c.signal(syscall.SIGTERM)
	begun := time.Now()
	if err := c.ended(); err != nil {
		t.Errorf("the end: %v", err)
	}
	ended := time.Since(begun)
	if ended > drain+5*time.Second {
		t.Errorf("SIGTERM ended it after %v", ended)
	}
	t.Logf("%d writes, %d computations ended, %d refused; SIGTERM took %v; deploys %v, requests %v, %v, %v", c.written.Load(), c.late.Load(), c.refused.Load(), ended,
		deploys, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	campaign.Row(t, "one CPU: tenants that compute, 32 visitors that read nothing, writes to state, deploys of modules of 4 MB", rounds,
		fmt.Sprintf("always ready, %d of %d requests of other tenants answered, p50 %v p99 %v, deploys live within %v, SIGTERM within its bound",
			len(took), len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond), deploys.Round(time.Second/10)))
}
