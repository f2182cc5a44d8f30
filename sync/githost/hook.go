package githost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// hookScript asks this process, over descriptors 4 and 5, and prints what it says.
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

const (
	preReceive  = "pre-receive"
	postReceive = "post-receive"
	maxUpdates  = 64 // references of one push
	zero        = "0000000000000000000000000000000000000000"
)

func (h *Host) hooks() string { return filepath.Join(h.o.Dir, "hooks") }

func (h *Host) writeHooks() error {
	if err := os.MkdirAll(h.hooks(), 0o700); err != nil {
		return err
	}
	for _, hook := range []string{preReceive, postReceive} {
		name := filepath.Join(h.hooks(), hook)
		if err := errors.Join(os.WriteFile(name, []byte(hookScript), 0o700), os.Chmod(name, 0o700)); err != nil { //nolint:gosec // a script
			return err
		}
	}
	return h.checkHooks()
}

// checkHooks makes sure that git will run the hooks: it passes over those that it
// cannot execute.
func (h *Host) checkHooks() error {
	name := filepath.Join(h.hooks(), preReceive)
	if err := unix.Access(name, unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be executed, and pushes would go unchecked: is the data folder mounted noexec? %w", name, err)
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

// serve answers the hooks of a push until git has ended.
func (p *push) serve(ctx context.Context, pipes *pipes) {
	in := bufio.NewReader(io.LimitReader(pipes.ask, maxUpdates*1024))
	for {
		hook, quarantine, updates, err := readQuestion(in)
		switch {
		case err != nil:
			if !errors.Is(err, io.EOF) {
				pipes.say(err.Error())
				_, _ = io.WriteString(pipes.answer, "no\n")
			}
			return
		case hook == preReceive:
			err = p.check(ctx, quarantine, updates)
		default:
			p.moved = true
			p.report(ctx, updates, pipes.say)
		}
		if err != nil {
			p.refused = err
			for line := range strings.Lines(err.Error()) {
				pipes.say(line)
			}
			_, _ = io.WriteString(pipes.answer, "no\n")
			continue
		}
		_, _ = io.WriteString(pipes.answer, "yes\n")
	}
}

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
		updates = append(updates, update{fields[0], fields[1], fields[2]})
	}
}
