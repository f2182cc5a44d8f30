package disktest

import (
	"context"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// MountForeign mounts at dir, until the test ends, a FUSE file system that shows the
// folder under. Who changes files in under is to the mount what another machine is to
// a network file system: no lease and no event tells of it. With noCtime, change times
// are modification times, as sshfs has them.
func MountForeign(t testing.TB, under, dir string, noCtime bool) {
	t.Helper()
	root(t)
	var st unix.Stat_t
	check(t, unix.Stat(under, &st))
	data := &fs.LoopbackRoot{Path: under, Dev: st.Dev}
	top := &foreignNode{&fs.LoopbackNode{RootData: data}, noCtime}
	data.RootNode = top
	server, err := fs.Mount(dir, top, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, Name: "foreign"}})
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

// foreignNode is a file or a folder of it.
type foreignNode struct {
	*fs.LoopbackNode
	noCtime bool
}

// WrapChild implements fs.NodeWrapChilder.
func (n *foreignNode) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &foreignNode{ops.(*fs.LoopbackNode), n.noCtime}
}

// Getattr implements fs.NodeGetattrer.
func (n *foreignNode) Getattr(ctx context.Context, f fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	errno := n.LoopbackNode.Getattr(ctx, f, out)
	n.hide(&out.Attr)
	return errno
}

// Lookup implements fs.NodeLookuper.
func (n *foreignNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	node, errno := n.LoopbackNode.Lookup(ctx, name, out)
	n.hide(&out.Attr)
	return node, errno
}

func (n *foreignNode) hide(a *fuse.Attr) {
	if n.noCtime {
		a.Ctime, a.Ctimensec = a.Mtime, a.Mtimensec
	}
}
