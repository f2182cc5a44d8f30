package folder

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// kind is what a file system promises.
type kind uint8

const (
	foreign kind = iota // writers may be elsewhere, change times may be anything
	layered             // writers are here, change times are those of layers below
	local               // writers are here, each change has another change time
)

// stat is what changes when a file or directory does.
type stat struct {
	size, mtime, ctime int64
	ino, dev           uint64 // zero on foreign file systems: not stable
	kind               kind
}

func statOf(info fs.FileInfo, k kind) stat {
	st := stat{size: info.Size(), mtime: info.ModTime().UnixNano(), kind: k}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.ctime = sys.Ctim.Nano()
		if k != foreign {
			st.ino, st.dev = sys.Ino, sys.Dev
		}
	}
	return st
}

// stable is s without what may differ between two looks at one file. On foreign file
// systems a change time is no more than a hint.
func (s stat) stable() stat {
	if s.kind == foreign {
		s.ctime = 0
	}
	return s
}

func (s stat) same(other stat) bool { return s.stable() == other.stable() }

// key identifies the content as far as stat can. Device numbers are not part of it:
// they change when the machine starts again.
func (s stat) key() string {
	return strings.Join([]string{
		strconv.FormatInt(s.size, 36), strconv.FormatInt(s.mtime, 36),
		strconv.FormatInt(s.ctime, 36), strconv.FormatUint(s.ino, 36),
	}, ".")
}

// devices has the kind of each device's file system. Any folder or file below the
// store's root may be a mount point, so each device is judged where it is first met.
// A mount may come at any time: devices live as long as one look.
type devices map[uint64]kind

// stat is statOf for the file or folder that info describes, which is name in root.
func (d devices) stat(root *os.Root, name string, info fs.FileInfo) stat {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return statOf(info, foreign)
	}
	k, known := d[sys.Dev]
	if !known {
		k = kindAt(root, name, sys.Dev)
		d[sys.Dev] = k
	}
	return statOf(info, k)
}

// kindAt is the kind of the file system that name is on; foreign if that is not the
// device dev any more.
func kindAt(root *os.Root, name string, dev uint64) kind {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return foreign
	}
	defer f.Close() //nolint:errcheck // opened for reading
	info, err := f.Stat()
	if err != nil {
		return foreign
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); !ok || sys.Dev != dev {
		return foreign
	}
	return kindOf(f)
}

// kindOf is the kind of the file system that f is on.
func kindOf(f *os.File) kind {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return foreign
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC, zfsMagic:
		return local
	case unix.OVERLAYFS_SUPER_MAGIC:
		return layered
	}
	return foreign
}

const zfsMagic = 0x2fc12fc1
