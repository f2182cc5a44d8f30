package gitwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

const (
	uploadPack   = "git-upload-pack"
	infoRefs     = "/info/refs"
	maxRedirects = 5
)

// talkHTTP is a conversation of two requests.
type talkHTTP struct {
	r    *Remote
	base string // the repository's URL, after redirects
	body io.ReadCloser
}

func (r *Remote) connectHTTP(listing context.Context) (talk, io.Reader, error) {
	e := *r.endpoint
	e.User, e.Password = "", ""
	resp, err := r.do(listing, http.MethodGet, e.String()+infoRefs+"?service="+uploadPack, nil) //nolint:bodyclose // talk.leave closes it
	if err != nil {
		return nil, nil, err
	}
	t := &talkHTTP{r: r, body: resp.Body}
	at := *resp.Request.URL
	var ok bool
	if at.Path, ok = strings.CutSuffix(at.Path, infoRefs); !ok {
		t.leave()
		return nil, nil, fmt.Errorf("%s redirects to %s, which is no repository", r.name(), &at)
	}
	at.RawQuery, at.RawPath = "", ""
	t.base = at.String()
	if got := resp.Header.Get("Content-Type"); got != "application/x-"+uploadPack+"-advertisement" {
		t.leave()
		return nil, nil, fmt.Errorf("%s answers with %.100q, and does not speak git's smart protocol: %s", r.name(), got, advice(got))
	}
	in, buf := io.Reader(resp.Body), make([]byte, maxPacket)
	line, err := readPacket(in, buf)
	if err == nil && !bytes.HasPrefix(line, []byte("# service="+uploadPack)) {
		err = fmt.Errorf("%s answers %q, and does not speak git's smart protocol", r.name(), clean(line))
	}
	if err == nil {
		if line, err = readPacket(in, buf); err == nil && line != nil { // some leave the flush out
			in = io.MultiReader(strings.NewReader(fmt.Sprintf("%04x%s", len(line)+4, line)), in)
		}
	}
	if err != nil {
		t.leave()
		return nil, nil, unexpected(err)
	}
	return t, in, nil
}

// advice is what to do about a listing of another content type.
func advice(contentType string) string {
	if strings.HasPrefix(contentType, "text/html") {
		return "it is a web page: is the URL that of the repository, and does it want a token (token_file)?"
	}
	return "a static file server (git's dumb protocol) is not supported: use git http-backend, or ssh"
}

func (t *talkHTTP) ask(ctx context.Context, request []byte) (io.Reader, error) {
	t.leave()
	resp, err := t.r.do(ctx, http.MethodPost, t.base+"/"+uploadPack, request) //nolint:bodyclose // leave closes it
	if err != nil {
		return nil, err
	}
	t.body = resp.Body
	return resp.Body, nil
}

func (t *talkHTTP) leave() { _ = t.body.Close() } // only read

func (t *talkHTTP) blame(err error) error { return err }

// do sends a request with the credentials.
func (r *Remote) do(ctx context.Context, method, to string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "git/2 (terrane)")
	req.Header.Set("Accept", "*/*")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-"+uploadPack+"-request")
		req.Header.Set("Accept", "application/x-"+uploadPack+"-result")
	}
	if r.user != "" || r.password != "" {
		req.SetBasicAuth(r.user, r.password)
	}
	client := &http.Client{Transport: r.http, CheckRedirect: r.checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp, nil
	case http.StatusUnauthorized:
		err = transport.ErrAuthenticationRequired
	case http.StatusForbidden:
		err = transport.ErrAuthorizationFailed
	case http.StatusNotFound:
		err = transport.ErrRepositoryNotFound
	default:
		err = fmt.Errorf("status %s", resp.Status)
	}
	_ = resp.Body.Close()
	return nil, fmt.Errorf("%s: %w", r.name(), err)
}

// checkRedirect follows a listing to where the credentials may go, and anywhere if
// there are none and nobody but the operator chose the URL.
func (r *Remote) checkRedirect(req *http.Request, via []*http.Request) error {
	to := *req.URL
	to.User, to.RawQuery = nil, ""
	from := via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return errors.New("too many redirects")
	case via[0].Method != http.MethodGet:
		return fmt.Errorf("a fetch is redirected to %s: it is not followed", &to)
	case to.Scheme != "https" && (to.Scheme != "http" || from.Scheme == "https"):
		return fmt.Errorf("the redirect to %s is not followed: want https", &to)
	case r.inScope(req.URL):
		return nil
	case r.o.Within != "":
		return fmt.Errorf("the redirect to %s leaves %s: it is not followed", &to, r.o.Within)
	case r.user != "" || r.password != "":
		return fmt.Errorf("the redirect to %s leaves %s, which the credentials are for: name the repository's new URL in the configuration", &to, r.name())
	}
	return nil
}

// inScope reports whether a URL lies where the credentials are for.
func (r *Remote) inScope(u *url.URL) bool {
	if u.User != nil || u.EscapedPath() != u.Path || path.Clean(u.Path) != u.Path {
		return false
	}
	if r.o.Within != "" {
		return strings.HasPrefix(u.Scheme+"://"+u.Host+u.Path, r.o.Within)
	}
	e := r.endpoint
	rest, ok := strings.CutPrefix(u.Path, strings.TrimSuffix(strings.TrimSuffix(e.Path, "/"), ".git"))
	upgrade := e.Protocol == "http" && u.Scheme == "https" && e.Port == 0 && u.Host == e.Host
	return ok && (rest == "" || rest[0] == '/' || strings.HasPrefix(rest, ".git/")) && (upgrade || u.Scheme == e.Protocol && u.Host == hostPort(e))
}
