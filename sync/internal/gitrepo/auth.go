package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/plumbing/transport/ssh"
)

// Auth says who the edge is to the origin. The files are read before every
// look, so that they can be rotated.
type Auth struct {
	Username   string // https: beside the token; empty: "git"
	TokenFile  string // https: a token or password
	SSHKey     string // ssh: a private key without passphrase
	KnownHosts string // ssh: empty means the user's and the system's
	CA         string // https: PEM of further roots
}

// credentials reads the files that Auth names.
func (r *Repo) credentials() error {
	a := r.o.Auth
	r.auth, r.ca = nil, nil
	endpoint, err := transport.NewEndpoint(r.o.URL)
	if err != nil {
		return errors.New("the origin's URL cannot be read")
	}
	switch endpoint.Protocol {
	case "http", "https":
		if a.CA != "" {
			if r.ca, err = os.ReadFile(a.CA); err != nil {
				return fmt.Errorf("origin's roots: %w", err)
			}
		}
		if a.TokenFile == "" {
			return nil
		}
		token, err := os.ReadFile(a.TokenFile)
		if err != nil {
			return fmt.Errorf("origin's token: %w", err)
		}
		user := a.Username
		if user == "" {
			user = "git"
		}
		r.auth = &http.BasicAuth{Username: user, Password: strings.TrimSpace(string(token))}
	case "ssh":
		if a.SSHKey == "" {
			return nil
		}
		user := endpoint.User
		if user == "" {
			user = "git"
		}
		keys, err := ssh.NewPublicKeysFromFile(user, a.SSHKey, "")
		if err != nil {
			return fmt.Errorf("origin's ssh key %s: %w", a.SSHKey, err)
		}
		if a.KnownHosts != "" {
			if keys.HostKeyCallback, err = ssh.NewKnownHostsCallback(a.KnownHosts); err != nil {
				return fmt.Errorf("origin's known hosts: %w", err)
			}
		}
		r.auth = keys
	}
	return nil
}

// transient reports whether a fetch failed on the way and not in the mirror.
func transient(ctx context.Context, err error) bool {
	_, isNet := errors.AsType[net.Error](err)
	_, isURL := errors.AsType[*url.Error](err)
	return ctx.Err() != nil || isNet || isURL || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed) ||
		errors.Is(err, transport.ErrRepositoryNotFound) || errors.Is(err, transport.ErrEmptyRemoteRepository)
}
