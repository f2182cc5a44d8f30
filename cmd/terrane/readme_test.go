package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/engine/component/toolchain"
)

// readmeNamespace is set in the process that has a network of its own.
const readmeNamespace = "TERRANE_TEST_README"

// readmeJavaScript is set there to the file of the built guest in JavaScript, as npm has no network there; empty
// if it could not be built.
const readmeJavaScript = "TERRANE_TEST_README_JS"

// TestReadme executes every command of README.md, in a network namespace that has
// nothing but itself: ports and addresses are as a reader would have them.
func TestReadme(t *testing.T) {
	if os.Getenv(readmeNamespace) != "" {
		runReadme(t)
		return
	}
	if testing.Short() {
		t.Skip("builds and runs the command")
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(bin, "terrane"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build, whose work is used again
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	js := builtJavaScript(t, bin)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReadme$", "-test.v", "-test.timeout=4m")
	child.Env = append(os.Environ(), readmeNamespace+"=1", readmeJavaScript+"="+js, "PATH="+bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		child.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("wants root, or user namespaces")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skipf("in part:\n%s", out)
	}
}

// builtJavaScript is the file of the guest in JavaScript, in dir; empty if it cannot be built.
func builtJavaScript(t *testing.T, dir string) (file string) {
	t.Helper()
	t.Run("build JavaScript", func(t *testing.T) {
		wasm := toolchain.JavaScriptProject(t) // or this subtest is skipped
		file = filepath.Join(dir, "hello.wasm")
		if err := os.WriteFile(file, wasm, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	return file
}

func runReadme(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if err := network("192.0.2.10/32"); err != nil {
		t.Fatal(err)
	}
	groups := readmeBlocks(t, string(text))
	if len(groups["dev"]) < 2 || len(groups["git"]) < 8 || len(groups["forge"]) < 5 || len(groups["js"]) < 3 {
		t.Fatalf("README.md lost its marks: %d blocks of dev, %d of git, %d of forge, %d of js", len(groups["dev"]), len(groups["git"]), len(groups["forge"]), len(groups["js"]))
	}
	for _, name := range []string{"dev", "js", "git", "forge"} {
		t.Run(name, func(t *testing.T) {
			dir := root
			if _, err := exec.LookPath("ssh"); name == "forge" && err != nil {
				t.Skip("wants the openssh client")
			}
			if name == "js" && os.Getenv(readmeJavaScript) == "" {
				t.Skip("wants npm, and a network once")
			}
			if name != "dev" {
				dir = t.TempDir()
				if err := os.Symlink(filepath.Join(root, "examples"), filepath.Join(dir, "examples")); err != nil {
					t.Fatal(err)
				}
			}
			s := &session{t: t, dir: dir, dns: resolver(t), env: append(os.Environ(),
				"CURL_HOME="+curlHome(t), "XDG_CACHE_HOME="+t.TempDir(), "GOCACHE="+goEnv(t, "GOCACHE"),
				"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")}
			t.Cleanup(s.stop)
			for _, b := range groups[name] {
				s.step(b)
			}
			if name == "git" {
				s.checkBIRD()
			}
		})
	}
}

// block is a marked code block: <!-- test: GROUP, WHAT --> before it says what to do.
type block struct{ what, text string }

func readmeBlocks(t *testing.T, text string) map[string][]block {
	t.Helper()
	groups := map[string][]block{}
	mark := regexp.MustCompile("(?s)<!-- test: (\\w+)(?:, ([^\n]*?))? -->\n```\\w*\n(.*?)```\n")
	for _, m := range mark.FindAllStringSubmatch(text, -1) {
		groups[m[1]] = append(groups[m[1]], block{m[2], m[3]})
	}
	if want := strings.Count(text, "<!-- test:"); want != len(mark.FindAllString(text, -1)) {
		t.Fatalf("README.md has %d marks, not all of them before a code block", want)
	}
	return groups
}

// session follows a group of blocks.
type session struct {
	t    *testing.T
	dir  string
	env  []string
	dns  *zone.Server
	proc *exec.Cmd // in the background
	last string    // its command
	out  *edgetest.Output
}

func (s *session) step(b block) {
	s.t.Helper()
	verb, rest, _ := strings.Cut(b.what, " ")
	switch verb {
	case "":
		s.run(b.text)
	case "prints":
		if out := s.run(b.text); !strings.Contains(out, strings.Trim(rest, `"`)) {
			s.t.Errorf("README.md says:\n%sand that it prints %s, but it printed:\n%s", b.text, rest, out)
		}
	case "built":
		s.built(rest)
		s.run(b.text)
	case "background", "restart":
		s.stop()
		s.start(b.text, strings.Trim(strings.TrimPrefix(rest, "until "), `"`))
	case "file":
		s.write(rest, b.text, os.O_TRUNC)
	case "append":
		s.write(rest, b.text, os.O_APPEND)
	case "zone":
		s.zone(b.text)
	default:
		s.t.Fatalf("README.md: a mark says %q", b.what)
	}
	if verb == "file" && rest == "bird.conf" {
		s.startBIRD()
	}
}

func (s *session) command(script string) *exec.Cmd {
	ctx := context.WithoutCancel(s.t.Context()) // stop ends them in order, after the test
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// run runs a script line by line, so that each must succeed, and returns what it
// printed.
func (s *session) run(script string) string {
	s.t.Helper()
	out, err := s.command(script).CombinedOutput()
	if err != nil {
		s.t.Fatalf("README.md says:\n%sbut: %v\n%s\nthe one in the background said:\n%s", script, err, out, s.out)
	}
	s.t.Logf("$ %s%s", strings.ReplaceAll(script, "\n", "\n  "), out)
	return string(out)
}

func (s *session) start(script, until string) {
	s.t.Helper()
	cmd := s.command("exec " + script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run has a child
	s.out = edgetest.NewOutput(until)
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.proc, s.last = cmd, script
	select {
	case <-s.out.Seen:
	case <-time.After(time.Minute):
		s.t.Fatalf("%s said nothing of %q:\n%s", script, until, s.out)
	}
}

// stop ends what runs in the background, in the orderly way.
func (s *session) stop() {
	if s.proc == nil {
		return
	}
	if err := syscall.Kill(-s.proc.Process.Pid, syscall.SIGTERM); err != nil {
		s.t.Errorf("stop %s: %v", s.last, err)
	}
	if err := s.proc.Wait(); err != nil && !strings.HasPrefix(s.last, "go run") { // go run reports the signal
		s.t.Errorf("%s: %v\n%s", s.last, err, s.out)
	}
	s.proc = nil
}

// built puts what npm installs and builds into a folder of JavaScript, so that make needs no network.
func (s *session) built(dir string) {
	s.t.Helper()
	wasm, err := os.ReadFile(os.Getenv(readmeJavaScript))
	if err != nil {
		s.t.Fatal(err)
	}
	modules := filepath.Join(dir, "node_modules")
	if err := os.Mkdir(filepath.Join(s.dir, modules), 0o750); err != nil {
		s.t.Fatal(err)
	}
	s.write(filepath.Join(modules, ".installed"), "", os.O_TRUNC)
	s.write(filepath.Join(dir, "hello.wasm"), string(wasm), os.O_TRUNC)
}

func (s *session) write(name, text string, flag int) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_WRONLY|flag, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// zone sets the records of lines such as "www.example.com.  A  192.0.2.10".
func (s *session) zone(text string) {
	s.t.Helper()
	records := map[string][]string{}
	for line := range strings.Lines(text) {
		name, data, _ := strings.Cut(strings.TrimSpace(line), " ")
		records[name] = append(records[name], strings.Join(strings.Fields(data), " "))
	}
	if err := s.dns.Update(records); err != nil {
		s.t.Fatal(err)
	}
}

// startBIRD starts the router, in a namespace of its own at the other end of a wire.
func (s *session) startBIRD() {
	s.t.Helper()
	if _, err := exec.LookPath("bird"); err != nil {
		s.t.Skip("wants BIRD 2 for the part about BGP")
	}
	cmd := s.command(`read # until the wire is there
ip link set lo up
ip address add 198.51.100.1/24 dev router
ip link set router up
exec bird -f -c bird.conf -s bird.ctl`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			s.t.Error(err)
		}
		_ = cmd.Wait() // ended by the signal
	})
	if err := wire(cmd.Process.Pid); err != nil {
		s.t.Fatal(err)
	}
	if _, err := stdin.Write([]byte("\n")); err != nil {
		s.t.Fatal(err)
	}
}

// wire connects this namespace, as 198.51.100.7, with that of a process.
func wire(pid int) error {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "uplink"}, PeerName: "router", PeerNamespace: netlink.NsPid(pid)}
	if err := netlink.LinkAdd(pair); err != nil {
		return err
	}
	addr, err := netlink.ParseAddr("198.51.100.7/24")
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(pair, addr), netlink.LinkSetUp(pair))
}

// checkBIRD waits until the router has the edge's route.
func (s *session) checkBIRD() {
	s.t.Helper()
	s.run(`for _ in {1..200}; do
	birdc -s bird.ctl show route 192.0.2.10/32 | grep AS65001 && exit
	read -rt 0.1 <> <(:) || :
done
birdc -s bird.ctl show protocols all edge1
exit 1
`)
}

// network brings the loopback interface up with the addresses.
func network(addresses ...string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(lo, addr); err != nil {
			return fmt.Errorf("add %s: %w", a, err)
		}
	}
	return netlink.LinkSetUp(lo)
}

// resolver is the DNS server of the namespace.
func resolver(t *testing.T) *zone.Server {
	t.Helper()
	dns, err := zone.New(zone.Options{Addr: "127.0.0.1:53"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- dns.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return dns
}

// curlHome makes curl fail on statuses of 400 and above, and tell why.
func curlHome(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte("fail-with-body\nsilent\nshow-error\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
