package githost_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/githost"
	"github.com/terrane/terrane/tenant"
)

// childEnv makes the test binary a host in the folder it names.
const childEnv = "TERRANE_GITHOST_CHILD"

// noReleases takes nothing live.
type noReleases struct{}

func (noReleases) Nudge(string) {}

func (noReleases) Follow(context.Context, tenant.ID) (tenantsync.TenantStatus, error) {
	return tenantsync.TenantStatus{Live: &tenantsync.Release{Revision: "0"}}, nil
}

// child is a host that runs until it is killed.
func child(dir string) {
	fail := func(err error) {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	h, err := githost.New(githost.Options{Dir: filepath.Join(dir, "hosted"), Releases: noReleases{}, Repos: []githost.Repo{{Prefix: "/git/", Previews: true, Pushers: filepath.Join(dir, "pushers")}}})
	if err != nil {
		fail(err)
	}
	go func() { fail(h.Run(context.Background())) }()
	<-h.Ready()
	ln, err := listen()
	if err != nil {
		fail(err)
	}
	fmt.Println("http://" + ln.Addr().String() + "/git")
	fail((&http.Server{Handler: h.Handler(), ReadHeaderTimeout: time.Minute}).Serve(ln))
}

// TestKilled kills the host at any moment of a push. The next one, which starts at
// once, has the repository whole, with the push or without it, and takes pushes.
// TERRANE_KILLS sets how often.
func TestKilled(t *testing.T) {
	t.Parallel()
	requireGit(t)
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("TERRANE_KILLS")); err == nil {
		kills = n
	}
	o := &origin{t: t, dir: t.TempDir(), env: append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.net", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.net")}
	o.write(filepath.Join(o.dir, "pushers"), pusherLines()...)
	dir := o.dir
	o.dir = filepath.Join(dir, "hosted")
	c := &clone{o, t.TempDir()}
	c.git("init", "-q", "-b", "main")
	pushed := ""
	for i := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "http") {
			t.Fatalf("host %d: %v %s", i, err, line)
		}
		if left := strings.Join(leftovers(t, o.bare()), " "); left != "" {
			t.Errorf("host %d starts with %s", i, left)
		}
		if head := o.head("main"); head != pushed && head != c.head() {
			t.Errorf("main is at %s, want %s or %s", head, pushed, c.head())
		}
		o.url = strings.TrimSpace(line)
		url := strings.Replace(o.url, "http://", "http://git:"+opsToken+"@", 1)
		if i > 0 { // what was cut off can be pushed again
			if text, err := c.try("push", url, "main"); err != nil {
				t.Fatalf("host %d: %v\n%s", i, err, text)
			}
			pushed = c.head()
		}
		if preview := o.head("preview/incoming-1"); (preview != "") != (i > 1) {
			t.Errorf("host %d has a preview at %q", i, preview)
		}
		if i == 1 {
			c.git("push", "-q", url, "HEAD:preview/incoming-1")
		}
		files := []string{"alice/i", strconv.Itoa(i)}
		for j := range 60 {
			files = append(files, fmt.Sprintf("alice/%d", j), fmt.Sprintf("%d %d", i, rand.Int64()))
		}
		c.commit(files...)
		push := c.command("push", url, "main")
		if err := push.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.After(time.Duration(rand.Int64N(int64(250 * time.Millisecond))))
		<-kill
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = cmd.Wait(), push.Wait() // killed, and cut off
	}
	o.fsck()
}

func (c *clone) head() string {
	c.o.t.Helper()
	out, err := c.try("rev-parse", "--verify", "-q", "HEAD")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// leftovers are what no repository at rest has.
func leftovers(t *testing.T, dir string) (left []string) {
	t.Helper()
	for _, glob := range []string{"*.lock", "refs/heads/*.lock", "objects/incoming-*", "objects/tmp_objdir-*", "objects/pack/tmp_*"} {
		paths, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, paths...)
	}
	return left
}
