package disktest

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Slow is a disk that takes its time to sync.
type Slow struct {
	Dir   string
	Syncs atomic.Int64 // so far
	delay atomic.Int64
}

// NewSlow mounts one, which is quick at first, until the test ends.
func NewSlow(t testing.TB) *Slow {
	t.Helper()
	root(t)
	s, under := &Slow{Dir: t.TempDir()}, t.TempDir()
	var st unix.Stat_t
	check(t, unix.Stat(under, &st))
	data := &fs.LoopbackRoot{Path: under, Dev: st.Dev}
	top := &slowNode{&fs.LoopbackNode{RootData: data}, s}
	data.RootNode = top
	server, err := fs.Mount(s.Dir, top, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, Name: "slow"}})
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	t.Cleanup(func() {
		s.Set(0)
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return s
}

// Set makes each sync from now on take so long at least.
func (s *Slow) Set(delay time.Duration) { s.delay.Store(int64(delay)) }

// slowNode is a file or a folder of it.
type slowNode struct {
	*fs.LoopbackNode
	slow *Slow
}

// WrapChild implements fs.NodeWrapChilder.
func (n *slowNode) WrapChild(_ context.Context, ops fs.InodeEmbedder) fs.InodeEmbedder {
	return &slowNode{ops.(*fs.LoopbackNode), n.slow}
}

// Fsync implements fs.NodeFsyncer.
func (n *slowNode) Fsync(ctx context.Context, f fs.FileHandle, flags uint32) syscall.Errno {
	n.slow.sync()
	if file, ok := f.(fs.FileFsyncer); ok {
		return file.Fsync(ctx, flags)
	}
	return fs.OK
}

// Open implements fs.NodeOpener.
func (n *slowNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	return n.slow.file(f, flags), fuseFlags, errno
}

// Create implements fs.NodeCreater.
func (n *slowNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	node, f, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return node, n.slow.file(f, flags), fuseFlags, errno
}

func (s *Slow) file(f fs.FileHandle, flags uint32) fs.FileHandle {
	if file, ok := f.(*fs.LoopbackFile); ok {
		return &slowFile{file, s, flags&unix.O_SYNC == unix.O_SYNC}
	}
	return f
}

// slowFile is an open file.
type slowFile struct {
	*fs.LoopbackFile
	slow   *Slow
	synced bool // each write
}

// PassthroughFd implements fs.FilePassthroughFder: the kernel is not to write past us.
func (f *slowFile) PassthroughFd() (int, bool) { return 0, false }

// Write implements fs.FileWriter.
func (f *slowFile) Write(ctx context.Context, data []byte, at int64) (uint32, syscall.Errno) {
	if f.synced {
		f.slow.sync()
	}
	return f.LoopbackFile.Write(ctx, data, at)
}

func (s *Slow) sync() {
	s.Syncs.Add(1)
	<-time.After(time.Duration(s.delay.Load()))
}
