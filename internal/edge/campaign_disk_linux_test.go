package edge_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/disktest"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

// diskCampaign is an edge whose data and access log are on a disk that is filled, again
// and again.
type diskCampaign struct {
	*edgetest.Edge
	t      *testing.T
	disk   *disktest.Small
	sites  string // on another disk: the store is not the edge's
	home   string // of the git client
	access *os.File
	port   string
}

const diskToken = "9e107d9d372bb6826bd81d3542a419d6"

func (c *diskCampaign) start() {
	c.t.Helper()
	var err error
	if c.access, err = os.OpenFile(filepath.Join(c.disk.Dir, "access.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.Edge = edgetest.StartWith(c.t, edge.Options{AccessLog: c.access}, func(cfg *config.Config) {
		cfg.Edge.Data = filepath.Join(c.disk.Dir, "data")
		cfg.Stores[0].Path = c.sites
		cfg.Stores = append(cfg.Stores, config.Store{
			Kind: "git", Prefix: "/git/", Branch: "main", Depth: 1, Serve: true, Pushers: filepath.Join(c.home, "pushers"),
		})
		cfg.Git = config.Git{Host: "git.example"}
	}, func(e *edgetest.Edge) {
		e.Domain("git.example")
		for _, name := range []string{"alice", "bob"} {
			e.Domain(name+".example", "terrane=/sites/"+name+"/")
		}
	})
	c.Dir = c.sites
	select {
	case <-c.GitHost.Ready():
	case <-time.After(time.Minute):
		c.t.Fatalf("the edge does not start:\n%s", c.Log)
	}
	_, https := c.Server.Addrs()
	if _, c.port, err = net.SplitHostPort(https[0].String()); err != nil {
		c.t.Fatal(err)
	}
	c.file("root.pem", string(c.Authority.RootPEM()))
}

func (c *diskCampaign) file(name, text string) {
	c.t.Helper()
	path := filepath.Join(c.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *diskCampaign) git(args ...string) (string, error) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "git", append([]string{
		"-C", filepath.Join(c.home, "work"), "-c", "http.curloptResolve=git.example:" + c.port + ":127.0.0.1",
	}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_SSL_CAINFO="+filepath.Join(c.home, "root.pem"),
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// writers try to write through each part that writes, and return whether it succeeded
// by the part's name.
func (c *diskCampaign) writers(round int) map[string]func() bool {
	page := fmt.Sprint("page ", round, strings.Repeat(".", 200<<10))
	return map[string]func() bool{
		"mirror": func() bool {
			path := filepath.Join(c.sites, "alice", "index.html")
			if old, _ := os.ReadFile(path); string(old) != page {
				if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
					c.t.Fatal(err)
				}
			}
			c.Syncer.Nudge("/sites/")
			done := false
			c.Await("an end of alice's release", func() bool {
				st, _ := c.Syncer.Tenant("/sites/alice")
				_, body := c.Request("alice.example", "alice.example", "/")
				done = body == page
				return done || st.Refused != nil && st.Refused.Retry
			})
			return done
		},
		"state": func() bool {
			code, _ := c.Send(http.MethodPost, "bob.example", "bob.example", "/keep"+strconv.Itoa(round), page[:64<<10])
			return code == http.StatusOK
		},
		"hosted git": func() bool {
			c.file("work/carol/index.html", page)
			for _, args := range [][]string{{"add", "-A"}, {"commit", "--quiet", "--allow-empty", "-m", "deploy"}} {
				if out, err := c.git(args...); err != nil {
					c.t.Fatalf("%v %s", err, out)
				}
			}
			_, err := c.git("push", "--quiet", "https://git:"+diskToken+"@git.example:"+c.port+"/git", "HEAD:main")
			return err == nil
		},
	}
}

// TestCampaignDiskFull fills the disk under everything that an edge writes: mirror,
// compiled code, state, hosted repository, verdicts, authority and access log. What is
// live stays so, also over a restart on a full disk; what cannot be written is said to
// have failed; all goes on when there is space.
func TestCampaignDiskFull(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("wants git")
	}
	rounds := campaign.Tries(2, 12)
	c := &diskCampaign{t: t, disk: disktest.NewSmall(t, "64m"), sites: t.TempDir(), home: t.TempDir()}
	c.file("pushers", fmt.Sprintf("carol token-sha256 %x carol\n", sha256.Sum256([]byte(diskToken))))
	c.file("work/carol/index.html", "")
	if out, err := c.git("init", "-q", "-b", "main"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	c.start()
	c.Deploy("alice", map[string][]byte{"index.html": []byte("page")})
	c.Deploy("bob", map[string][]byte{"index.wasm": edgetest.File(t, "cmd/terrane/testdata/guests/keep.wasm")})
	for name, write := range c.writers(0) {
		c.Await("the first write of "+name, write)
	}
	tries, starts := 0, 0
	for round := range rounds {
		leave := []int64{0, 64 << 10, 4 << 20}[round%3]
		c.disk.Fill(t, leave)
		_, live := c.Request("alice.example", "alice.example", "/")
		writers := c.writers(round + 1)
		for name, write := range writers {
			tries++
			if write() && leave == 0 && name != "state" { // its file has room of its own
				t.Errorf("round %d: %s wrote on a full disk", round, name)
			}
		}
		if _, body := c.Request("alice.example", "alice.example", "/"); body != live && leave == 0 {
			t.Errorf("round %d: alice shows %d bytes on a full disk, not the %d before", round, len(body), len(live))
		}
		if round%2 == 1 { // the edge starts on a full disk
			_, live = c.Request("alice.example", "alice.example", "/")
			c.Forgives = "verdicts.json" // it says what it could not save
			c.Stop()
			_ = c.access.Close()
			c.start()
			starts++
			c.Await("what was live", func() bool { _, body := c.Request("alice.example", "alice.example", "/"); return body == live })
			writers = c.writers(round + 1)
		}
		c.disk.Empty(t)
		for name, write := range writers {
			c.Await(fmt.Sprintf("round %d: a write of %s with space again", round, name), write)
		}
	}
	c.Stop()
	_ = c.access.Close()
	checkLines(t, c.access.Name(), starts)
	campaign.Row(t, "disk full under mirror, compiled code, state, hosted git, verdicts, authority and access log; starts on a full disk", tries,
		"what was live stays, failures are reported, writes go on with space")
}

// checkLines expects a file of JSON lines, of which so many may be torn.
func checkLines(t *testing.T, name string, torn int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	n := 0
	for in := bufio.NewScanner(f); in.Scan(); n++ {
		if json.Valid(in.Bytes()) {
			continue
		}
		if torn--; torn < 0 {
			t.Errorf("access log, line %d: %.200q", n+1, in.Text())
		}
	}
	if n == 0 {
		t.Error("the access log is empty")
	}
}
