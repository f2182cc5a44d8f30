package githost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxSteps bounds the differences between commits that one push is read for.
const maxSteps = 1_000_000

// checkHistory refuses new commits that change what the pusher may not write, even if the
// push leaves it as it was: an edge goes back in the history for the last good release,
// and previews begin anywhere in it. A merge changes what it has from none of its parents.
func (p *push) checkHistory(ctx context.Context, tips []string) error {
	if len(tips) == 0 || p.repo.tenant != "" || p.who.all() {
		return nil
	}
	list, err := p.git(ctx, append(append([]string{"rev-list", "--parents"}, tips...), "--not", "--all")...)
	if err != nil {
		return err
	}
	parents := map[string]int{}
	var commits strings.Builder
	for line := range strings.Lines(string(list)) {
		names := strings.Fields(line)
		parents[names[0]] = max(1, len(names)-1)
		commits.WriteString(names[0] + "\n")
	}
	args := []string{"diff-tree", "--stdin", "-m", "--root", "-z", "--raw", "--no-abbrev", "--no-renames"}
	if p.repo.Depth > 1 {
		args = append(args, "-r")
	}
	cmd := p.command(ctx, args...)
	var broken words
	cmd.Stdin, cmd.Stderr = strings.NewReader(commits.String()), &broken
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = start(cmd)
	}
	if err != nil {
		return err
	}
	h := &steps{p: p, parents: parents}
	if err := h.read(bufio.NewScanner(out)); err != nil {
		_, _ = cmd.Cancel(), cmd.Wait()
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cannot read the history of the push: %w: %s", err, &broken)
	}
	return h.commitEnds()
}

// steps reads what git diff-tree says of commits, parent by parent.
type steps struct {
	p       *push
	parents map[string]int // how many each commit has
	commit  string
	apart   map[change]int // how many parents of it differ there
	last    map[change]bool
}

func (h *steps) read(in *bufio.Scanner) error {
	in.Split(zeroEnds)
	for n := 0; in.Scan(); n++ {
		switch word := in.Text(); {
		case n > maxSteps:
			return errors.New("the history of the push is too long to be checked: push less at a time")
		case word == "":
		case word[0] != ':': // of the next parent, or the next commit
			if err := h.begin(word); err != nil {
				return err
			}
		default:
			var oldMode, newMode string
			_, err := fmt.Sscanf(word, ":%s %s", &oldMode, &newMode)
			if err != nil || !in.Scan() {
				return fmt.Errorf("cannot read the history of the push: %.100q", word)
			}
			if c := h.p.changeOf(in.Text(), isTree(oldMode) || isTree(newMode)); !h.p.mayChange(c) && !h.last[c] {
				h.last[c] = true
				h.apart[c]++
			}
		}
	}
	return in.Err()
}

func (h *steps) begin(commit string) error {
	var err error
	if commit != h.commit {
		err = h.commitEnds()
		h.commit, h.apart = commit, map[change]int{}
	}
	h.last = map[change]bool{}
	return err
}

func (h *steps) commitEnds() error {
	var foreign []change
	for c, n := range h.apart {
		if n == h.parents[h.commit] {
			foreign = append(foreign, c)
		}
	}
	if err := h.p.refuse(foreign); err != nil {
		return fmt.Errorf("commit %.12s: %w; leave it out of the history that you push", h.commit, err)
	}
	return nil
}

// zeroEnds is a bufio.SplitFunc for words that end in a zero byte.
func zeroEnds(data []byte, _ bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}

// changeOf is the change of a path that git diff-tree names; isFolder tells of one that
// is a folder before or after, which it names where folders lie at the top.
func (p *push) changeOf(name string, isFolder bool) change {
	if p.repo.Depth == 1 {
		return change{name, name[0] == '.' || !isFolder}
	}
	elements := strings.SplitN(name, "/", p.repo.Depth+1)
	if len(elements) <= p.repo.Depth {
		return change{name, true}
	}
	return change{strings.Join(elements[:p.repo.Depth], "/"), name[0] == '.'}
}

// checkMerged refuses to end another's preview by a merge into the branch.
func (p *push) checkMerged(ctx context.Context, u update) error {
	if u.ref != heads+p.repo.Branch || u.old == zero || p.repo.tenant != "" || p.who.all() {
		return nil
	}
	out, err := p.git(ctx, "for-each-ref", "--format=%(refname)", heads+"preview")
	if err != nil {
		return err
	}
	all := strings.Fields(string(out))
	if merged, err := p.merges(ctx, u, all...); !merged {
		return err
	}
	for _, ref := range all {
		if merged, err := p.merges(ctx, u, ref); err != nil {
			return err
		} else if !merged {
			continue
		}
		tip, err := p.git(ctx, "rev-parse", "--verify", "--quiet", ref)
		if err != nil {
			return err
		}
		preview := update{old: strings.TrimSpace(string(tip)), new: zero, ref: ref}
		if err := p.checkFolders(ctx, preview); err != nil {
			return fmt.Errorf("this push merges %s: %w", strings.TrimPrefix(ref, heads), err)
		}
	}
	return nil
}

// merges reports whether an update of the branch takes commits of previews into it.
func (p *push) merges(ctx context.Context, u update, refs ...string) (bool, error) {
	if len(refs) == 0 {
		return false, nil
	}
	count := append([]string{"rev-list", "--count"}, refs...)
	before, err := p.git(ctx, append(count[:len(count):len(count)], "--not", u.old)...)
	if err != nil {
		return false, err
	}
	after, err := p.git(ctx, append(count, "--not", u.old, u.new)...)
	return err == nil && !bytes.Equal(before, after), err
}
