package gitrepo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// transient reports whether a fetch failed on the way and not in the mirror.
func transient(ctx context.Context, err error) bool {
	_, isNet := errors.AsType[net.Error](err)
	_, isURL := errors.AsType[*url.Error](err)
	return ctx.Err() != nil || isNet || isURL || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed) ||
		errors.Is(err, transport.ErrRepositoryNotFound) || errors.Is(err, transport.ErrEmptyRemoteRepository)
}
