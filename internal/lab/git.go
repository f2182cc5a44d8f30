package lab

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// GitServer serves the bare repositories of one folder over smart HTTP, to read
// and to write, to anyone who can reach it.
type GitServer struct {
	node *Node
	root string
	addr netip.AddrPort
}

// StartGit starts a git server on the node, and returns once it listens. Port 0
// takes any.
func (n *Node) StartGit(ctx context.Context, listen netip.AddrPort) (*GitServer, error) {
	s := &GitServer{node: n, root: n.lab.Path("git-" + n.name)}
	if err := os.Mkdir(s.root, 0o700); err != nil {
		return nil, err
	}
	cmd, err := n.role(ctx, roleGit, listen.String(), s.root)
	if err != nil {
		return nil, err
	}
	p, err := n.start("git", cmd)
	if err != nil {
		return nil, err
	}
	line, err := p.Line(ctx, listening)
	if err != nil {
		return nil, err
	}
	s.addr, err = netip.ParseAddrPort(strings.TrimPrefix(line, listening))
	return s, err
}

const listening = "listening on "

// Create makes an empty repository whose branch will be main, and returns its URL.
func (s *GitServer) Create(ctx context.Context, name string) (string, error) {
	if _, err := s.node.git(ctx, s.root, "init", "-q", "--bare", "-b", "main", name); err != nil {
		return "", err
	}
	return "http://" + s.addr.String() + "/" + name, nil
}

// serveGit is the git server process. It leaves all of git's rules to git itself,
// which go-git and net/http/cgi do not.
func serveGit(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("want LISTEN ROOT")
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println(listening + ln.Addr().String())
	srv := &http.Server{Handler: gitHandler(args[1]), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func gitHandler(root string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{repo}/info/refs", func(w http.ResponseWriter, r *http.Request) {
		gitService(w, r, r.FormValue("service"), "advertisement", root, "--advertise-refs")
	})
	mux.HandleFunc("POST /{repo}/{service}", func(w http.ResponseWriter, r *http.Request) {
		gitService(w, r, r.PathValue("service"), "result", root)
	})
	return mux
}

func gitService(w http.ResponseWriter, r *http.Request, service, answer, root string, flags ...string) {
	name := strings.TrimPrefix(service, "git-")
	if name != "upload-pack" && name != "receive-pack" {
		http.Error(w, "no such service", http.StatusForbidden)
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	w.Header().Set("Content-Type", "application/x-"+service+"-"+answer)
	if answer == "advertisement" {
		head := "# service=git-" + name + "\n"
		_, _ = fmt.Fprintf(w, "%04x%s0000", len(head)+4, head) //nolint:gosec // one of two words, and no HTML
	}
	args := append([]string{name, "--stateless-rpc"}, flags...)
	cmd := exec.CommandContext(r.Context(), "git", append(args, filepath.Join(root, r.PathValue("repo")))...) //nolint:gosec // one path element of a lab's own client
	cmd.Env = append(gitEnvironment(), "GIT_PROTOCOL="+r.Header.Get("Git-Protocol"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = body, w, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, r.URL.Path, err) // the client sees a cut answer
	}
}

// WorkTree is a clone that a tenant commits and pushes from.
type WorkTree struct {
	node *Node
	dir  string
}

// Clone clones the repository into a new folder of the lab.
func (n *Node) Clone(ctx context.Context, url string) (*WorkTree, error) {
	dir, err := os.MkdirTemp(n.lab.dir, "clone-")
	if err != nil {
		return nil, err
	}
	_, err = n.git(ctx, dir, "clone", "-q", url, ".")
	return &WorkTree{node: n, dir: dir}, err
}

// Write puts a file into the work tree. The name is slash-separated.
func (t *WorkTree) Write(name string, content []byte) error {
	path := filepath.Join(t.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// Commit commits all that the work tree holds, and returns the commit's hash.
func (t *WorkTree) Commit(ctx context.Context, message string) (string, error) {
	if _, err := t.node.git(ctx, t.dir, "add", "--all"); err != nil {
		return "", err
	}
	if _, err := t.node.git(ctx, t.dir, "commit", "-q", "-m", message); err != nil {
		return "", err
	}
	out, err := t.node.git(ctx, t.dir, "rev-parse", "HEAD")
	return strings.TrimSpace(out), err
}

// Push pushes what was committed to main.
func (t *WorkTree) Push(ctx context.Context) error {
	_, err := t.node.git(ctx, t.dir, "push", "-q", "origin", "HEAD:main")
	return err
}

func (n *Node) git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := n.Command(ctx, "git", args...)
	cmd.Dir, cmd.Env = dir, gitEnvironment()
	return n.output(cmd)
}

// gitEnvironment keeps the machine's and the user's git configuration out.
func gitEnvironment() []string {
	return append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Tenant", "GIT_AUTHOR_EMAIL=tenant@example.test", "GIT_COMMITTER_NAME=Tenant", "GIT_COMMITTER_EMAIL=tenant@example.test")
}
