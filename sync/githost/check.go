package githost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrane/terrane/sync/internal/gitrepo"
	"github.com/terrane/terrane/sync/internal/mergebase"
	"github.com/terrane/terrane/tenant"
)

const (
	maxObjects  = 500_000 // new ones of one push
	maxChanged  = 10_000  // tenants' folders of one push
	maxPreviews = 100
	maxNamed    = 10 // folders that a refusal names
	emptyTree   = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
	heads       = "refs/heads/"
	previews    = "preview/"
)

// check decides on a push whose objects are in quarantine. An error is in words for
// the pusher.
func (p *push) check(ctx context.Context, quarantine string, updates []update) error {
	p.env = []string{"GIT_OBJECT_DIRECTORY=" + quarantine, "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + quoted(filepath.Join(p.repo.dir, "objects"))}
	if quarantine == "" { // deletions bring no objects
		p.env = nil
	}
	var tips []string
	for _, u := range updates {
		if err := p.checkRef(ctx, u); err != nil {
			return err
		}
		if u.new != zero {
			tips = append(tips, u.new)
		}
	}
	if err := p.checkSize(ctx, tips); err != nil {
		return err
	}
	for _, tip := range tips {
		if err := p.checkSignature(ctx, tip); err != nil {
			return err
		}
	}
	for _, u := range updates {
		if err := errors.Join(p.checkFolders(ctx, u), p.checkMerged(ctx, u)); err != nil {
			return err
		}
	}
	return p.checkHistory(ctx, tips)
}

// quoted is a path in a list that git splits at colons.
func quoted(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}

func (p *push) checkRef(ctx context.Context, u update) error {
	branch, _ := strings.CutPrefix(u.ref, heads)
	switch {
	case branch == p.repo.Branch && u.new == zero:
		return fmt.Errorf("%s is what is live: it cannot be deleted", branch)
	case branch == p.repo.Branch && (u.old == zero || p.repo.Rewrites):
		return nil
	case branch == p.repo.Branch:
		if _, err := p.git(ctx, "merge-base", "--is-ancestor", u.old, u.new); err != nil {
			return fmt.Errorf("%s only moves forwards, and this push would take commits out of it: git pull --rebase, then push again", branch)
		}
		return nil
	case !p.repo.Previews:
		return fmt.Errorf("%s is not served: push to %s", u.ref, p.repo.Branch)
	case !strings.HasPrefix(branch, previews):
		return fmt.Errorf("%s is not served: push to %s, or to preview/NAME", u.ref, p.repo.Branch)
	case u.old != zero:
		return nil
	}
	if err := tenant.CheckPreview(strings.TrimPrefix(branch, previews)); err != nil {
		return err
	}
	out, err := p.git(ctx, "for-each-ref", "--format=x", heads+"preview")
	if p.begun++; err == nil && bytes.Count(out, []byte("\n"))+p.begun > maxPreviews {
		err = fmt.Errorf("there are %d previews already: delete one: git push REMOTE :preview/NAME", maxPreviews)
	}
	return err
}

// checkSize adds up what the objects of the push are unpacked.
func (p *push) checkSize(ctx context.Context, tips []string) error {
	if len(tips) == 0 {
		return nil
	}
	list := p.command(ctx, append(append([]string{"rev-list", "--objects", "--no-object-names"}, tips...), "--not", "--all")...)
	sizes := p.command(ctx, "cat-file", "--buffer", "--batch-check=%(objectsize)")
	var missing, broken words
	list.Stderr, sizes.Stderr = &missing, &broken
	var err error
	if sizes.Stdin, err = list.StdoutPipe(); err != nil {
		return err
	}
	out, err := sizes.StdoutPipe()
	if err != nil {
		return err
	}
	if err := start(list); err != nil {
		return err
	}
	if err := start(sizes); err != nil {
		return errors.Join(err, list.Cancel(), list.Wait())
	}
	total, count, err := p.addUp(out)
	if err != nil { // more than it may
		_, _ = sizes.Cancel(), list.Cancel()
		_, _ = sizes.Wait(), list.Wait()
		return err
	}
	if err := errors.Join(sizes.Wait(), list.Wait()); err != nil {
		return fmt.Errorf("cannot size the push: %w: %s %s", err, &missing, &broken)
	}
	p.bytes, p.objects = total, count
	return nil
}

func (p *push) addUp(sizes io.Reader) (total, count int64, err error) {
	lines := bufio.NewScanner(sizes)
	for lines.Scan() {
		n, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("cannot size the push: %w", err)
		}
		total += n
		count++
		if total > p.repo.MaxPush {
			return 0, 0, fmt.Errorf("the push unpacks to more than %d bytes: push less at a time, or ask for a higher max_push", p.repo.MaxPush)
		}
		if count > maxObjects {
			return 0, 0, fmt.Errorf("the push has more than %d objects: push less at a time", maxObjects)
		}
	}
	return total, count, lines.Err()
}

func (p *push) checkSignature(ctx context.Context, tip string) error {
	s := gitrepo.Signers{SSH: p.repo.AllowedSigners, OpenPGP: p.repo.SignerKeys}
	if s == (gitrepo.Signers{}) {
		return nil
	}
	commit, err := p.git(ctx, "cat-file", "commit", tip)
	if err != nil {
		return err
	}
	if err := s.Verify(commit, time.Now()); err != nil {
		return fmt.Errorf("commit %s is not taken: %w", tip, err)
	}
	return nil
}

// checkFolders compares the folders that a push changes with those that the pusher
// may write.
func (p *push) checkFolders(ctx context.Context, u update) error {
	changed, err := p.changed(ctx, u)
	if err != nil {
		return err
	}
	return p.refuse(slices.DeleteFunc(changed, p.mayChange))
}

func (p *push) mayChange(c change) bool { return p.who.all() || !c.beside && p.who.May(c.name) }

// refuse is nil if nothing is foreign.
func (p *push) refuse(foreign []change) error {
	if len(foreign) == 0 {
		return nil
	}
	var names []string
	for _, c := range foreign {
		names = append(names, c.name)
	}
	slices.Sort(names)
	what := strings.Join(names[:min(len(names), maxNamed)], ", ")
	if n := len(foreign) - maxNamed; n > 0 {
		what += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("%s: not yours to change: %s may write %s", what, p.who.Name, strings.Join(p.who.folders, ", "))
}

// change is a path that a push changes.
type change struct {
	name   string // of a tenant's folder
	beside bool   // it is none, but a file that lies beside or above
}

// changed lists what a push changes: on the branch from one state to the next; of a
// preview everything that differs from the branch, before the push and after it, so that
// nobody takes away or covers what another shows.
func (p *push) changed(ctx context.Context, u update) ([]change, error) {
	if p.repo.tenant != "" { // all of it is one tenant's
		return []change{{name: p.repo.tenant}}, nil
	}
	steps := [][2]string{{u.old, u.new}}
	if u.ref != heads+p.repo.Branch {
		steps = nil
		for _, tip := range []string{u.old, u.new} {
			if tip != zero {
				steps = append(steps, [2]string{p.fork(ctx, tip), tip})
			}
		}
	}
	var all []change
	for _, step := range steps {
		base := step[0]
		if base == zero {
			base = emptyTree
		}
		var err error
		if all, err = p.diff(ctx, base, step[1], "", p.repo.Depth, all); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b change) int { return strings.Compare(a.name, b.name) })
	return slices.Compact(all), nil
}

// fork is where a preview left the branch, which is what edges compare it with. If that is not
// found, it is the branch itself, from which everything that edges may show differs; zero if
// there is no branch.
func (p *push) fork(ctx context.Context, tip string) string {
	out, err := p.git(ctx, "rev-parse", "--verify", "--quiet", heads+p.repo.Branch)
	if err != nil {
		return zero
	}
	branch, commits := strings.TrimSpace(string(out)), map[string]mergebase.Commit{}
	if err := p.commits(ctx, commits, mergebase.Limit, branch, tip); err != nil {
		return branch
	}
	older := 0
	base, err := mergebase.Find(branch, tip, func(id string) (mergebase.Commit, error) {
		if _, ok := commits[id]; !ok {
			if older++; older > maxOlder {
				return mergebase.Commit{}, mergebase.ErrNone
			}
			if err := p.commits(ctx, commits, 100, id); err != nil {
				return mergebase.Commit{}, err
			}
		}
		return commits[id], nil
	})
	if err != nil {
		return branch
	}
	return base
}

// maxOlder bounds how often fork follows parents that are older than the newest commits.
const maxOlder = 100

// commits adds the newest commits of the histories of tips.
func (p *push) commits(ctx context.Context, to map[string]mergebase.Commit, most int, tips ...string) error {
	out, err := p.git(ctx, append([]string{"rev-list", "--parents", "--timestamp", "--max-count=" + strconv.Itoa(most)}, tips...)...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) { // "TIME COMMIT PARENT..."
		if f := strings.Fields(line); len(f) > 1 {
			at, _ := strconv.ParseInt(f[0], 10, 64)
			to[f[1]] = mergebase.Commit{ID: f[1], Time: at, Parents: f[2:]}
		}
	}
	return nil
}

// diff adds the folders depth levels below two trees that differ.
func (p *push) diff(ctx context.Context, a, b, dir string, depth int, all []change) ([]change, error) {
	out, err := p.git(ctx, "diff-tree", "-z", "--raw", "--no-abbrev", "--no-renames", a, b)
	if err != nil {
		return nil, err
	}
	fields := strings.Split(string(out), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		var oldMode, newMode, oldID, newID string
		if _, err := fmt.Sscanf(fields[i], ":%s %s %s %s", &oldMode, &newMode, &oldID, &newID); err != nil {
			return nil, fmt.Errorf("cannot compare the push: %w", err)
		}
		if len(all) >= maxChanged {
			return nil, fmt.Errorf("the push changes more than %d folders: push less at a time", maxChanged)
		}
		name := path.Join(dir, fields[i+1])
		if depth == 1 || (!isTree(oldMode) && !isTree(newMode)) {
			beside := name[0] == '.' || depth > 1 || (!isTree(oldMode) && !isTree(newMode))
			all = append(all, change{name, beside})
			continue
		}
		if all, err = p.diff(ctx, treeOf(oldMode, oldID), treeOf(newMode, newID), name, depth-1, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func isTree(mode string) bool { return mode == "040000" }

func treeOf(mode, id string) string {
	if isTree(mode) {
		return id
	}
	return emptyTree
}

// command is git with the push's objects, in quarantine or not.
func (p *push) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := p.host.command(ctx, p.repo, args...)
	cmd.Env = append(cmd.Env, p.env...)
	return cmd
}

func (p *push) git(ctx context.Context, args ...string) ([]byte, error) {
	return output(p.command(ctx, args...))
}
