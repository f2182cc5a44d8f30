package githost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// The services that clients ask for.
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// maxReported is how many tenants a push reads of one by one.
const maxReported = 100

var protocolForm = regexp.MustCompile(`^[a-z0-9=:.-]{1,100}$`)

// session is one git command that a client asks for.
type session struct {
	repo     *repo
	who      *Pusher
	service  string    // uploadPack or receivePack
	flags    []string  // of the command
	protocol string    // what the client says of its version
	from     string    // the client's network
	request  *spool    // what was read of the client; nil: the command reads in
	in       io.Reader // nil: nothing is read
	out      io.Writer
	feeding  sync.WaitGroup // what reads in; it may outlast the command
	resting  func()         // gives the place among the commands back early
}

// words keeps the start of what a command has to say.
type words struct{ bytes.Buffer }

func (w *words) Write(b []byte) (int, error) {
	if room := 1024 - w.Len(); room > 0 {
		w.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

// serve runs the command of a session, in its turn. The client has seen git's own
// words; the error is for the log.
func (h *Host) serve(ctx context.Context, s *session) error {
	end, err := h.turn(ctx, s)
	if err != nil {
		return err
	}
	defer end()
	s.resting = end
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	if s.service == receivePack {
		return h.receive(ctx, s)
	}
	return h.exchange(ctx, s, "-c", "uploadpack.keepAlive=5")
}

// advertise lists the references to the client.
func (h *Host) advertise(ctx context.Context, s *session) error {
	end, err := h.turn(ctx, s)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, idleTime)
	defer cancel()
	s.flags = []string{"--stateless-rpc", "--advertise-refs"}
	return h.exchange(ctx, s)
}

// exchange runs the command of a session that needs no hooks.
func (h *Host) exchange(ctx context.Context, s *session, config ...string) error {
	return s.run(h.service(ctx, s, config...), func() {})
}

func (h *Host) service(ctx context.Context, s *session, config ...string) *exec.Cmd {
	args := append(config, strings.TrimPrefix(s.service, "git-"))
	cmd := h.command(ctx, nil, append(append(args, s.flags...), s.repo.dir)...)
	if protocolForm.MatchString(s.protocol) {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+s.protocol)
	}
	cmd.Stdout, cmd.Stderr = s.out, &words{}
	return cmd
}

// run runs cmd and returns when it has ended. What the client still sends then is
// read and dropped, lest it misses the answer.
func (s *session) run(cmd *exec.Cmd, started func()) error {
	var feed io.WriteCloser
	var err error
	switch {
	case s.request != nil:
		cmd.Stdin = s.request.File
	case s.in != nil:
		if feed, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	err = start(cmd)
	started()
	if err != nil {
		return err
	}
	if feed != nil {
		s.feeding.Go(func() {
			_, err := io.Copy(feed, s.in)
			_ = feed.Close()
			if err != nil {
				_, _ = io.Copy(io.Discard, s.in)
			}
		})
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %.300s", err, strings.TrimSpace(cmd.Stderr.(*words).String()))
	}
	return nil
}

// push is one run of receive-pack.
type push struct {
	host *Host
	repo *repo
	who  *Pusher
	env  []string // leads git to objects in quarantine
	// resting is called when the push only waits for its release.
	resting func()

	bytes, objects int64    // unpacked
	begun          int      // previews that it begins
	checked        []update // what may move
	moved          bool     // references did
	refused        error    // by check
	stuck          error    // why checked references did not move
}

// receive runs receive-pack, whose hooks ask this process.
func (h *Host) receive(ctx context.Context, s *session) error {
	if err := h.checkHooks(); err != nil {
		return err
	}
	size, _ := s.repo.size()
	room := max(1, min(s.repo.MaxPush, s.repo.MaxSize-size)) // 0 would be no bound
	config := []string{
		"-c", "core.hooksPath=" + h.hooks(), "-c", "receive.fsckObjects=true", "-c", "receive.unpackLimit=1", "-c", "receive.autogc=false",
		"-c", fmt.Sprintf("receive.maxInputSize=%d", room), "-c", "receive.procReceiveRefs=refs",
	}
	pipes, err := newPipes()
	if err != nil {
		return err
	}
	defer pipes.close()
	cmd := h.service(ctx, s, config...)
	cmd.ExtraFiles = append(cmd.ExtraFiles, pipes.asking, pipes.hearing)
	p := &push{host: h, repo: s.repo, who: s.who, resting: s.resting}
	begun := time.Now()
	var answering sync.WaitGroup
	answering.Go(func() { p.serve(ctx, pipes) })
	err = s.run(cmd, pipes.started)
	answering.Wait()
	err = errors.Join(err, p.stuck)
	result := "moved"
	switch {
	case p.moved:
	case p.refused != nil:
		result = "refused"
	case err == nil && s.request.size <= int64(len("0000")):
		return nil // a client that only asks
	default:
		result = "failed"
	}
	h.metrics.pushes.WithLabelValues(s.repo.Prefix, result).Inc()
	h.log.Info("push", "store", s.repo.Prefix, "pusher", s.who.Name, "result", result, "bytes", p.bytes, "objects", p.objects,
		"took", time.Since(begun), "err", errors.Join(p.refused, err))
	h.wear(s.repo)
	return err
}

// report waits for what becomes of the tenants whose folders a push changed, and
// says so.
func (p *push) report(ctx context.Context, updates []update, say func(string)) {
	p.host.o.Releases.Nudge(p.repo.Prefix + p.repo.tenant)
	p.resting()
	ctx, cancel := context.WithTimeout(ctx, p.host.o.Wait)
	defer cancel()
	for _, u := range updates {
		changed, err := p.changed(ctx, u)
		if err != nil {
			say("the release is on its way, and cannot be followed from here: " + err.Error())
			continue
		}
		preview, _ := strings.CutPrefix(u.ref, heads+previews)
		if u.ref == heads+p.repo.Branch {
			preview = ""
		}
		p.follow(ctx, preview, changed, say)
	}
}

// follow waits for the folders of the branch, or of a preview.
func (p *push) follow(ctx context.Context, preview string, changed []change, say func(string)) {
	var all sync.WaitGroup
	lines := make(chan string)
	followed := 0
	for _, c := range changed {
		if c.beside || followed == maxReported {
			continue
		}
		followed++
		all.Go(func() { lines <- p.outcome(ctx, c.name, preview) })
	}
	go func() { all.Wait(); close(lines) }()
	for line := range lines {
		say(line)
	}
	if followed == maxReported {
		say(fmt.Sprintf("there may be more: these are %d", maxReported))
	}
	if followed == 0 {
		say("no tenant's folder has changed")
	}
}

// outcome says what became of a tenant's folder.
func (p *push) outcome(ctx context.Context, folder, preview string) string {
	id := tenant.ID(p.repo.Prefix + folder)
	if preview != "" {
		id = id.Preview(preview)
		folder += ", preview " + preview
	}
	st, err := p.host.o.Releases.Follow(ctx, id)
	stays := "; what was live stays live"
	if st.Live == nil {
		stays = "; nothing is live"
	}
	switch {
	case errors.Is(err, tenantsync.ErrRefused):
		return fmt.Sprintf("%s: refused: %v", folder, err)
	case err != nil && ctx.Err() != nil:
		return folder + ": taken, and not live yet: see /.well-known/terrane at its domain"
	case err != nil:
		return fmt.Sprintf("%s: not live: %v", folder, err)
	case st.Refused != nil && st.Refused.Retry:
		return fmt.Sprintf("%s: not live yet, this edge tries again: %s%s", folder, st.Refused.Reason, stays)
	case st.Refused != nil:
		return fmt.Sprintf("%s: refused: %s%s", folder, st.Refused.Reason, stays)
	case st.Live == nil && preview != "":
		return folder + ": removed, or the same as " + p.repo.Branch
	case st.Live == nil:
		return folder + ": removed"
	}
	rev := string(st.Live.Revision)
	if at := p.host.o.Address(id); at != "" {
		return fmt.Sprintf("%s: live at %s (revision %.12s)", folder, at, rev)
	}
	of, _, isPreview := id.CutPreview()
	if isPreview {
		return fmt.Sprintf("%s: live (revision %.12s); it has an address below the preview domain once the TXT record of a domain names %s", folder, rev, of)
	}
	return fmt.Sprintf("%s: live (revision %.12s); a domain shows it once its TXT record names %s", folder, rev, id)
}
