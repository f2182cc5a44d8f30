package githost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// hookScript asks this process, over descriptors 4 and 5, and prints what it answers.
const hookScript = `#!/bin/sh
{ echo "${0##*/} $GIT_QUARANTINE_PATH"; cat; echo; } >&4 || exit 1
while read -r word line <&5; do
	case $word in
	say) printf '%s\n' "$line" ;;
	yes) exit 0 ;;
	*) exit 1 ;;
	esac
done
exit 1
`

// moveScript asks this process to move the references, and prints the report that git
// wants (gitprotocol-pack(5), "proc-receive"). What git writes is known since
// pre-receive, and only read so that git is not cut off.
const moveScript = `#!/bin/sh
printf '%s\n\n' "${0##*/}" >&4 || exit 1
while read -r word line <&5; do
	case $word in
	say) printf '%s\n' "$line" ;;
	raw) printf '%s' "$line" ;;
	yes) exec cat >/dev/null ;;
	*) exit 1 ;;
	esac
done
exit 1
`

const (
	preReceive  = "pre-receive"
	procReceive = "proc-receive"
	postReceive = "post-receive"
	minGit      = 29 // minor version
	maxUpdates  = 64 // references of one push
	zero        = "0000000000000000000000000000000000000000"
)

var objectForm = regexp.MustCompile(`^[0-9a-f]{40}$`)

func (h *Host) hooks() string { return filepath.Join(h.o.Dir, "hooks") }

func (h *Host) writeHooks() error {
	if err := os.MkdirAll(h.hooks(), 0o700); err != nil {
		return err
	}
	for hook, script := range map[string]string{preReceive: hookScript, procReceive: moveScript, postReceive: hookScript} {
		if err := writeHook(filepath.Join(h.hooks(), hook), script); err != nil {
			return err
		}
	}
	return h.checkHooks()
}

// writeHook puts a script in place, whole or not at all. One that is there is not
// written again: the host must start on a full disk.
func writeHook(name, script string) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == script { //nolint:gosec // in a folder of our own
		return os.Chmod(name, 0o700) //nolint:gosec // a script
	}
	draft := name + ".new"
	return errors.Join(os.WriteFile(draft, []byte(script), 0o700), os.Chmod(draft, 0o700), os.Rename(draft, name)) //nolint:gosec // a script
}

// checkHooks names the cause when git cannot run the hooks, without which every push
// fails.
func (h *Host) checkHooks() error {
	name := filepath.Join(h.hooks(), procReceive)
	if err := unix.Access(name, unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be executed, and no push can be taken: is the data folder mounted noexec? %w", name, err)
	}
	return nil
}

// checkGit refuses a git command that does not know proc-receive: it would move
// references without the hook.
func (h *Host) checkGit(ctx context.Context) error {
	out, err := h.git(ctx, nil, "version")
	if err != nil {
		return err
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "git version %d.%d", &major, &minor); err != nil || major < 2 || major == 2 && minor < minGit {
		return fmt.Errorf("%s: want git 2.%d or newer, which lets this edge check pushes", strings.TrimSpace(string(out)), minGit)
	}
	return nil
}

// update is a reference that a push moves. Commits are zero where there is none.
type update struct{ old, new, ref string }

// pipes lead from git's hooks to this process and back.
type pipes struct {
	ask, answer     *os.File // here
	asking, hearing *os.File // in git
}

func newPipes() (*pipes, error) {
	p := &pipes{}
	var err error
	if p.ask, p.asking, err = os.Pipe(); err != nil {
		return nil, err
	}
	if p.hearing, p.answer, err = os.Pipe(); err != nil {
		return nil, errors.Join(err, p.ask.Close(), p.asking.Close())
	}
	return p, nil
}

// started gives up the ends that git has.
func (p *pipes) started() { _, _ = p.asking.Close(), p.hearing.Close() }

func (p *pipes) close() { _, _ = p.ask.Close(), p.answer.Close() }

// say prints a line at the pusher's.
func (p *pipes) say(line string) {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, line)
	_, _ = fmt.Fprintf(p.answer, "say %.2000s\n", clean) // a pusher who has left is no error
}

// serve answers the hooks of a push until git has ended. The pipes are this push's
// alone, so that an answer can be for no other.
func (p *push) serve(ctx context.Context, pipes *pipes) {
	in := bufio.NewReader(io.LimitReader(pipes.ask, maxUpdates*1024))
	answer := func(word string) { _, _ = io.WriteString(pipes.answer, word) } // a pusher who has left is no error
	for {
		hook, quarantine, updates, err := readQuestion(in)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			p.refused = err
			pipes.say(err.Error())
			answer("no\n")
			return
		}
		switch hook {
		case preReceive:
			if err = p.check(ctx, quarantine, updates); err == nil {
				p.checked = updates
			}
		case procReceive:
			var lines string
			if lines, err = p.move(ctx); err == nil {
				answer(lines)
			}
		case postReceive:
			p.report(ctx, updates, pipes.say)
		}
		if err != nil {
			p.refused = err
			for line := range strings.Lines(err.Error()) {
				pipes.say(line)
			}
			answer("no\n")
			continue
		}
		answer("yes\n")
	}
}

// move moves the references of a push that was checked, all or none, and returns what
// moveScript prints. Nothing else moves references: git leaves all of them to the hook
// proc-receive and refuses the push where it finds none.
func (p *push) move(ctx context.Context) (string, error) {
	if p.checked == nil {
		return "", errors.New("the push was not checked")
	}
	updates := p.checked
	p.checked, p.env = nil, nil // the objects are where they stay
	var list strings.Builder
	for _, u := range updates {
		fmt.Fprintf(&list, "update %s %s %s\n", u.ref, u.new, u.old)
	}
	cmd := p.command(ctx, "update-ref", "--stdin")
	cmd.Stdin = strings.NewReader(list.String())
	_, err := output(cmd)
	p.moved, p.stuck = err == nil, err
	var report strings.Builder
	fmt.Fprintf(&report, "say %sraw 0000\n", packet("version=1\n"))
	for _, u := range updates {
		line := "ok " + u.ref + "\n"
		if err != nil {
			line = "ng " + u.ref + " it has moved meanwhile, or cannot be written: fetch, then push again\n"
		}
		report.WriteString("say " + packet(line))
	}
	report.WriteString("raw 0000\n")
	return report.String(), nil
}

// packet is a line of git's protocol.
func packet(line string) string { return fmt.Sprintf("%04x%s", len(line)+4, line) }

// readQuestion reads what the script writes; io.EOF when there is no further one.
func readQuestion(in *bufio.Reader) (hook, quarantine string, updates []update, err error) {
	first, err := in.ReadString('\n')
	if err != nil {
		return "", "", nil, io.EOF
	}
	hook, quarantine, _ = strings.Cut(strings.TrimSuffix(first, "\n"), " ")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", "", nil, fmt.Errorf("at most %d branches can be pushed at a time", maxUpdates)
		}
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			return hook, quarantine, updates, nil
		case len(fields) != 3 || len(updates) == maxUpdates:
			return "", "", nil, fmt.Errorf("at most %d branches can be pushed at a time", maxUpdates)
		}
		u := update{fields[0], fields[1], fields[2]}
		if !objectForm.MatchString(u.old) || !objectForm.MatchString(u.new) || !strings.HasPrefix(u.ref, "refs/") { // they become arguments of git
			return "", "", nil, fmt.Errorf("%q: want two object names and a reference", line)
		}
		updates = append(updates, u)
	}
}
