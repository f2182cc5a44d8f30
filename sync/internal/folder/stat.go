package folder

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stat is what changes when a file or directory does. Only local file systems keep
// inodes and change times; elsewhere ctime, ino and dev are zero.
type stat struct {
	size, mtime, ctime int64
	ino, dev           uint64
	local              bool
}

func statOf(info fs.FileInfo, local bool) stat {
	st := stat{size: info.Size(), mtime: info.ModTime().UnixNano(), local: local}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok && local {
		st.ctime, st.ino, st.dev = sys.Ctim.Nano(), sys.Ino, sys.Dev
	}
	return st
}

// key identifies the content as far as stat can. Device numbers are not part of it:
// they change when the machine starts again.
func (s stat) key() string {
	return strings.Join([]string{
		strconv.FormatInt(s.size, 36), strconv.FormatInt(s.mtime, 36),
		strconv.FormatInt(s.ctime, 36), strconv.FormatUint(s.ino, 36),
	}, ".")
}

// devices says of each device whether its file system is local. Any folder or file
// below the store's root may be a mount point, so each device is judged where it
// is first met. A mount may come at any time: devices live as long as one look.
type devices map[uint64]bool

// stat is statOf for the file or folder that info describes, which is name in root.
func (d devices) stat(root *os.Root, name string, info fs.FileInfo) stat {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return statOf(info, false)
	}
	local, known := d[sys.Dev]
	if !known {
		local = isLocalAt(root, name, sys.Dev)
		d[sys.Dev] = local
	}
	return statOf(info, local)
}

// isLocalAt reports whether name is on a local file system and on the device dev.
func isLocalAt(root *os.Root, name string, dev uint64) bool {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // opened for reading
	info, err := f.Stat()
	if err != nil {
		return false
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && sys.Dev == dev && isLocal(f)
}

// isLocal reports whether all writers of the file system that f is on are processes
// of this machine, so that a lease knows of them.
func isLocal(f *os.File) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.OVERLAYFS_SUPER_MAGIC, zfsMagic:
		return true
	}
	return false
}

const zfsMagic = 0x2fc12fc1
