package gitwire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/net/proxy"
)

const sshPort = 22

// hostKeys are the keys of known hosts.
type hostKeys interface {
	HostKeyCallback() ssh.HostKeyCallback
	HostKeyAlgorithms(addr string) []string
}

// sshFiles is what the files of a Remote's Auth hold, and where the ssh agent is.
type sshFiles struct {
	user    string
	hosts   hostKeys
	named   string // the file of known hosts, for people
	keys    []ssh.Signer
	skipped []string // key files that cannot be used, and why
	agent   string   // its socket; empty: it is not asked
}

func (r *Remote) prepareSSH() error {
	a := r.o.Auth
	f := sshFiles{user: r.endpoint.User, named: cmp.Or(a.KnownHosts, "~/.ssh/known_hosts")}
	var files []string
	if a.KnownHosts != "" {
		if _, err := os.Stat(a.KnownHosts); err != nil {
			return fmt.Errorf("origin's known hosts: %w", err)
		}
		files = append(files, a.KnownHosts)
	}
	var err error
	if f.hosts, err = gitssh.NewKnownHostsDb(files...); err != nil {
		return fmt.Errorf("origin's known hosts: %w: name the file with known_hosts", err)
	}
	if a.SSHKey != "" {
		f.user = cmp.Or(f.user, "git")
		key, err := readKey(a.SSHKey)
		if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
			return fmt.Errorf("origin's ssh key %s has a passphrase, which nobody is there to type: "+
				"remove it (ssh-keygen -p -N '' -f FILE), or leave ssh_key out and add the key to the ssh agent that SSH_AUTH_SOCK names", a.SSHKey)
		}
		if err != nil {
			return fmt.Errorf("origin's ssh key %s: %w", a.SSHKey, err)
		}
		f.keys = []ssh.Signer{key}
		r.ssh = f
		return nil
	}
	if f.user == "" {
		u, err := user.Current()
		if err != nil {
			return fmt.Errorf("the origin's URL has no user: %w", err)
		}
		f.user = u.Username
	}
	f.agent = os.Getenv("SSH_AUTH_SOCK")
	f.readUserKeys()
	if f.agent == "" && len(f.keys) == 0 {
		return fmt.Errorf("no ssh key for the origin: name one with ssh_key, or start an ssh agent (SSH_AUTH_SOCK), or write ~/.ssh/id_ed25519%s", f.notTried())
	}
	r.ssh = f
	return nil
}

// readUserKeys reads the files that ssh tries by itself, and skips those it cannot use.
func (f *sshFiles) readUserKeys() {
	home, err := os.UserHomeDir()
	if err != nil {
		return // a service without a home has no keys there
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		path := filepath.Join(home, ".ssh", name)
		key, err := readKey(path)
		_, locked := errors.AsType[*ssh.PassphraseMissingError](err)
		switch {
		case err == nil:
			f.keys = append(f.keys, key)
		case locked:
			f.skipped = append(f.skipped, path+" has a passphrase")
		case !errors.Is(err, os.ErrNotExist):
			f.skipped = append(f.skipped, fmt.Sprintf("%s: %v", path, err))
		}
	}
}

func (f *sshFiles) notTried() string {
	if len(f.skipped) == 0 {
		return ""
	}
	return fmt.Sprintf(" (not tried: %s)", strings.Join(f.skipped, "; "))
}

func readKey(path string) (ssh.Signer, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator's
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(data)
}

// config is that of one connection. done closes what it uses.
func (f *sshFiles) config(ctx context.Context, addr string) (config *ssh.ClientConfig, done func(), err error) {
	keys, done := f.keys, func() {}
	if f.agent != "" {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", f.agent)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			done = func() { stop(); _ = conn.Close() }
			var held []ssh.Signer
			held, err = agent.NewClient(conn).Signers()
			keys = append(held, keys...)
		}
		if err != nil && len(keys) == 0 {
			done()
			return nil, nil, fmt.Errorf("ssh agent %s: %w%s", f.agent, err, f.notTried())
		}
	}
	// Algorithms of known keys come first: a server that has keys of several types then
	// shows one that can be compared (ssh_config(5), HostKeyAlgorithms).
	algorithms := f.hosts.HostKeyAlgorithms(addr)
	for _, a := range ssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(algorithms, a) {
			algorithms = append(algorithms, a)
		}
	}
	return &ssh.ClientConfig{
		User: f.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(keys...)},
		HostKeyCallback: f.checkHost, HostKeyAlgorithms: algorithms,
	}, done, nil
}

func (f *sshFiles) checkHost(addr string, remote net.Addr, key ssh.PublicKey) error {
	err := f.hosts.HostKeyCallback()(addr, remote, key)
	shown := fmt.Sprintf("%s shows the host key %s %s", addr, key.Type(), ssh.FingerprintSHA256(key))
	mismatch, ok := errors.AsType[*knownhosts.KeyError](err)
	switch {
	case ok && len(mismatch.Want) == 0:
		return fmt.Errorf("%s, and %s has none for it: compare the key with the server's, then add it (ssh-keyscan): %w", shown, f.named, err)
	case ok:
		return fmt.Errorf("%s, and %s has another: if the server was given a new key, replace that line: %w", shown, f.named, err)
	}
	return err
}

// sshAddress is where to connect to; the user's ssh_config may say.
func (r *Remote) sshAddress() string {
	host, port := r.endpoint.Host, r.endpoint.Port
	if alias := gitssh.DefaultSSHConfig.Get(host, "Hostname"); alias != "" {
		if p, err := strconv.Atoi(gitssh.DefaultSSHConfig.Get(host, "Port")); err == nil {
			port = p
		}
		host = alias
	}
	if port <= 0 {
		port = sshPort
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

func (r *Remote) connectSSH(ctx, listing context.Context) (talk, io.Reader, error) {
	addr := r.sshAddress()
	config, done, err := r.ssh.config(listing, addr)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	conn, err := proxy.Dial(listing, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	// The connection ends with the listing's time, and once that is read with ctx.
	stopListing := context.AfterFunc(listing, func() {
		if errors.Is(context.Cause(listing), errSlow) {
			_ = conn.Close()
		}
	})
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	hangUp := sync.OnceFunc(func() { stopListing(); stop(); _ = conn.Close() })
	t, err := r.session(conn, addr, config, hangUp)
	if err != nil {
		hangUp()
		return nil, nil, fmt.Errorf("%w%s", err, r.ssh.notTried())
	}
	return t, t.out, nil
}
