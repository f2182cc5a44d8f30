package folder

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openForWriting reports whether some process has the file open for writing: then,
// and only then, a read lease is refused with EAGAIN. Leases on another user's
// files want CAP_LEASE; without it, nothing is known.
// The lease is given back at once: a writer never waits for us.
func openForWriting(f *os.File) (open, known bool) {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err != nil {
		return err == unix.EAGAIN, err == unix.EAGAIN
	}
	_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing f would free it too
	return false, true
}

// wholeModule reports whether r is a module whose last section ends where the file
// does.
func wholeModule(r io.ReaderAt, size int64) bool {
	var head [8]byte
	if _, err := r.ReadAt(head[:], 0); err != nil || string(head[:4]) != "\x00asm" {
		return false
	}
	for at := int64(len(head)); at != size; {
		var buf [6]byte // a section's id and its size in LEB128
		n, err := r.ReadAt(buf[:], at)
		if err != nil && err != io.EOF {
			return false
		}
		length, width := leb(buf[min(1, n):n])
		if width == 0 || length > size-at-1-int64(width) {
			return false
		}
		at += 1 + int64(width) + length
	}
	return true
}

// leb reads an unsigned LEB128 of up to 32 bits; width 0 means there is none.
func leb(b []byte) (value int64, width int) {
	for i := range min(len(b), 5) {
		value |= int64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return value, i + 1
		}
	}
	return 0, 0
}
