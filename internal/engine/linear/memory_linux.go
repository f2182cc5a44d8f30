package linear

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory is one linear memory. Only New makes one, Free ends it.
type Memory struct {
	// Take is asked for the bytes by which the memory exceeds its largest size since the last
	// Reset, and says whether it may. Nil: always.
	Take func(bytes int64) bool

	all    []byte // what is reserved
	size   int
	high   int // the largest size since the last Reset
	image  *Image
	shrink bool
	fresh  bool // all is zero but what was written since New
	scan   scan
}

// New reserves limit bytes of address space, all zero. It uses no memory yet.
func New(limit uint64) (*Memory, error) {
	m := &Memory{}
	if limit == 0 {
		return m, nil
	}
	all, err := unix.Mmap(-1, 0, int(limit), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes for a guest: %w", limit, err)
	}
	m.all, m.fresh = all, true
	_ = unix.Madvise(all, unix.MADV_NOHUGEPAGE) // else one byte written costs 2 MiB; kernels without huge pages refuse
	return m, nil
}

// Bytes is the memory in its present size.
func (m *Memory) Bytes() []byte { return m.all[:m.size] }

// Reallocate sets the size, and returns nil if it exceeds the limit, or Take refuses. The bytes do
// not move. It implements experimental.LinearMemory of wazero.
func (m *Memory) Reallocate(size uint64) []byte {
	if m.shrink {
		size = uint64(m.image.size)
	}
	if size > uint64(len(m.all)) || m.Take != nil && int(size) > m.high && !m.Take(int64(size)-int64(m.high)) {
		return nil
	}
	m.size = int(size)
	m.high = max(m.high, m.size)
	return m.all[:size]
}

// Free returns everything to the system. Bytes are void then.
func (m *Memory) Free() {
	if m.all != nil {
		_ = unix.Munmap(m.all) // it fails for no range that Mmap has given
		m.all, m.size, m.high = nil, 0, 0
	}
}

// Adopt makes the memory's beginning a copy of the image, and its size the image's.
// From now on Reset works.
func (m *Memory) Adopt(img *Image) error {
	if img.size > 0 {
		_, err := unix.MmapPtr(img.fd, 0, unsafe.Pointer(&m.all[0]), uintptr(img.size), //nolint:gosec // the start of a range that this package has mapped
			unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
		if err != nil {
			return fmt.Errorf("map a guest's image: %w", err)
		}
		_ = unix.Madvise(m.all[:img.size], unix.MADV_NOHUGEPAGE)
	}
	m.image, m.size, m.fresh = img, img.size, false
	return nil
}

var errUnknown = errors.New("what was written is not known")

// written finds where a memory that has adopted nothing may differ from zeros.
func (m *Memory) written(pagemap int) (found [][2]int, err error) {
	if !m.fresh || pagemap < 0 {
		return nil, errUnknown
	}
	err = m.own(pagemap, m.size, func(from, until int) bool {
		found = append(found, [2]int{from, until})
		return true
	})
	return found, err
}

// Image is what the memory has adopted, nil if nothing.
func (m *Memory) Image() *Image { return m.image }

// keepPages is how many own pages a Memory keeps over a Reset; copying more of them
// costs more than faulting those that are used in again.
const keepPages = 512

// Reset makes the memory equal to its image, and returns how many bytes of its own
// it still holds. After an error it is in no known state.
func (m *Memory) Reset() (resident int64, err error) {
	high := m.high
	m.size, m.high = m.image.size, m.image.size
	if high == 0 {
		return 0, nil
	}
	if m.image.pagemap >= 0 {
		pages, err := m.restore(high)
		if err == nil && pages <= keepPages {
			return int64(pages * m.image.page), nil
		}
	}
	if err := unix.Madvise(m.all[:high], unix.MADV_DONTNEED); err != nil {
		return 0, fmt.Errorf("drop what a guest wrote: %w", err)
	}
	return 0, nil
}

// restore copies the image over the own pages below high. It stops when they are more
// than keepPages.
func (m *Memory) restore(high int) (pages int, err error) {
	err = m.own(m.image.pagemap, high, func(from, until int) bool {
		pages += (until - from) / m.image.page
		if pages > keepPages {
			return false
		}
		m.image.copyTo(m.all, from, until)
		return true
	})
	return pages, err
}

// own calls visit for each range of own pages below high, until it returns false.
func (m *Memory) own(pagemap, high int, visit func(from, until int) bool) error {
	base := m.base()
	for from := 0; from < high; {
		regions, next, err := m.scan.own(pagemap, base+uintptr(from), base+uintptr(high))
		if err != nil {
			return err
		}
		for _, r := range regions {
			if !visit(int(r.start-base), int(r.end-base)) {
				return nil
			}
		}
		from = int(next - base)
	}
	return nil
}

func (m *Memory) base() uintptr { return uintptr(unsafe.Pointer(&m.all[0])) } //nolint:gosec // an address for the kernel

// Shrink makes the next Reallocate set the image's size, whatever it is asked for,
// until the returned function is called.
func (m *Memory) Shrink() (done func()) {
	m.shrink = true
	return func() { m.shrink = false }
}

// scan is the argument of the ioctl PAGEMAP_SCAN (linux/fs.h). It holds the address of
// a part of itself and therefore stays on the heap.
type scan struct {
	size, flags, start, end, walkEnd  uint64
	vec, vecLen, maxPages             uint64
	inverted, mask, anyOf, returnMask uint64
	regions                           [64]region
}

type region struct {
	start, end uintptr
	categories uint64
}

const (
	pagemapScan = 0xc0606610

	pageIsFile    = 1 << 2
	pageIsPresent = 1 << 3
	pageIsSwapped = 1 << 4
	pageIsZero    = 1 << 5 // the page of zeros that reading maps
)

// own finds the pages from start to end that this mapping does not share, up to next.
func (s *scan) own(pagemap int, start, end uintptr) (found []region, next uintptr, err error) {
	s.size, s.start, s.end = uint64(unsafe.Offsetof(s.regions)), uint64(start), uint64(end)
	s.vec, s.vecLen = uint64(uintptr(unsafe.Pointer(&s.regions))), uint64(len(s.regions)) //nolint:gosec // for the kernel; s stays on the heap
	s.inverted, s.mask = pageIsFile|pageIsZero, pageIsFile|pageIsZero
	s.anyOf, s.returnMask = pageIsPresent|pageIsSwapped, pageIsPresent
	call := unix.Syscall
	if end-start <= 4<<20 { // so quick that the scheduler need not know
		call = unix.RawSyscall
	}
	n, _, errno := call(unix.SYS_IOCTL, uintptr(pagemap), pagemapScan, uintptr(unsafe.Pointer(s))) //nolint:gosec // likewise
	runtime.KeepAlive(s)
	if errno != 0 {
		return nil, 0, fmt.Errorf("scan for written pages: %w", errno)
	}
	return s.regions[:n], uintptr(s.walkEnd), nil
}
