// Package mergebase finds where two branches of a git repository parted, for the edge that
// admits a push to a preview and for those that show it: both must compare the preview with
// the same commit, or one would show what the other has not checked.
package mergebase

import (
	"cmp"
	"container/heap"
	"errors"
	"slices"
)

// Limit bounds how many commits of both branches are looked at.
const Limit = 2000

// ErrNone is returned when the branches have no commit in common, or none within Limit.
var ErrNone = errors.New("no commit in common")

// Commit is what is asked of a commit.
type Commit struct {
	ID      string
	Time    int64 // of its committer
	Parents []string
}

// Which branches a commit is an ancestor of, and whether it is one of a common ancestor.
const (
	ofA = 1 << iota
	ofB
	stale
)

// Find returns the best common ancestor of two commits: one that is no ancestor of another
// common ancestor, as git merge-base does. Of several it is the newest, and of those of one
// time the one with the least ID. load returns a commit by its ID; an error of load ends the
// search.
func Find(a, b string, load func(id string) (Commit, error)) (string, error) {
	s := search{load: load, commits: map[string]*node{}}
	if err := errors.Join(s.mark(a, ofA), s.mark(b, ofB)); err != nil {
		return "", err
	}
	var common []*node
	for visited := 0; slices.ContainsFunc(s.queue, func(n *node) bool { return n.marks&stale == 0 }); visited++ {
		if visited == Limit {
			return "", ErrNone
		}
		n := heap.Pop(&s.queue).(*node)
		n.queued = false
		marks := n.marks
		if marks&(ofA|ofB) == ofA|ofB {
			if !n.common {
				n.common = true
				common = append(common, n)
			}
			marks |= stale // its ancestors are
		}
		for _, parent := range n.Parents {
			if err := s.mark(parent, marks); err != nil {
				return "", err
			}
		}
	}
	common = slices.DeleteFunc(common, func(n *node) bool { return n.marks&stale != 0 })
	if len(common) == 0 {
		return "", ErrNone
	}
	return slices.MinFunc(common, before).ID, nil
}

type node struct {
	Commit
	marks  int
	queued bool
	common bool
}

// before orders commits: the newest first.
func before(a, b *node) int { return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.ID, b.ID)) }

type search struct {
	load    func(string) (Commit, error)
	commits map[string]*node
	queue   queue
}

// mark adds marks to a commit, and queues it if that is news.
func (s *search) mark(id string, marks int) error {
	n, ok := s.commits[id]
	if !ok {
		c, err := s.load(id)
		if err != nil {
			return err
		}
		n = &node{Commit: c}
		s.commits[id] = n
	}
	if n.marks&marks == marks {
		return nil
	}
	n.marks |= marks
	if !n.queued {
		n.queued = true
		heap.Push(&s.queue, n)
	}
	return nil
}

type queue []*node

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return before(q[i], q[j]) < 0 }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(n any) { *q = append(*q, n.(*node)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	*q = (*q)[:last]
	return n
}
