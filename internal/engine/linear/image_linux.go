package linear

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Image is what memories begin with.
type Image struct {
	size    int
	held    int64 // bytes that are not zero, in whole pages
	page    int
	fd      int    // a memory file; -1 if size is 0
	view    []byte // the file, read-only
	zero    []bool // pages that are zero, which the file does not hold
	pagemap int    // of this process, -1 if the kernel cannot scan it
}

// Restorer is what Images need of the system. The zero value puts memories back by
// MADV_DONTNEED, which every kernel has.
type Restorer struct{ pagemap *os.File }

// NewRestorer finds out whether the kernel can do better.
func NewRestorer() *Restorer {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return &Restorer{}
	}
	r := &Restorer{f}
	if !r.works() {
		_ = f.Close()
		r.pagemap = nil
	}
	return r
}

// works tries a scan.
func (r *Restorer) works() bool {
	probe, err := New(uint64(os.Getpagesize()))
	if err != nil {
		return false
	}
	defer probe.Free()
	probe.Reallocate(uint64(os.Getpagesize()))[0] = 1
	base := probe.base()
	found, _, err := probe.scan.own(int(r.pagemap.Fd()), base, base+uintptr(len(probe.all)))
	return err == nil && len(found) == 1
}

// Method is how memories are put back, for logs.
func (r *Restorer) Method() string {
	if r.pagemap == nil {
		return "madvise"
	}
	return "pagemap_scan"
}

// Close closes the restorer. No Image of it may be used any more.
func (r *Restorer) Close() error {
	if r.pagemap == nil {
		return nil
	}
	return r.pagemap.Close()
}

// NewImage copies the content of a memory. Its caller closes it when no Memory uses it.
func (r *Restorer) NewImage(m *Memory) (*Image, error) {
	img := &Image{size: m.size, page: os.Getpagesize(), fd: -1, pagemap: -1}
	if r.pagemap != nil {
		img.pagemap = int(r.pagemap.Fd())
	}
	if img.size == 0 {
		return img, nil
	}
	if err := img.fill(m); err != nil {
		return nil, errors.Join(fmt.Errorf("image of a guest's memory: %w", err), img.Close())
	}
	return img, nil
}

func (img *Image) fill(m *Memory) (err error) {
	if img.fd, err = unix.MemfdCreate("terrane-image", unix.MFD_CLOEXEC); err != nil {
		return err
	}
	if err := unix.Ftruncate(img.fd, int64(img.size)); err != nil {
		return err
	}
	img.zero = slices.Repeat([]bool{true}, (img.size+img.page-1)/img.page)
	// Reading a page that was never written would fault it in.
	written, err := m.written(img.pagemap)
	if err != nil {
		written = [][2]int{{0, img.size}}
	}
	for _, w := range written {
		if err := img.copyFrom(m.all[:img.size], w[0], min(w[1], img.size)); err != nil {
			return err
		}
	}
	img.view, err = unix.Mmap(img.fd, 0, img.size, unix.PROT_READ, unix.MAP_SHARED)
	return err
}

// copyFrom writes the pages from from to until that are not zero, those in a row at once.
func (img *Image) copyFrom(content []byte, from, until int) error {
	zeros := make([]byte, img.page)
	for from < until {
		end := from
		for ; end < until; end += img.page {
			page := content[end:min(end+img.page, until)]
			if bytes.Equal(page, zeros[:len(page)]) {
				break
			}
			img.zero[end/img.page] = false
			img.held += int64(img.page)
		}
		if run := content[from:min(end, until)]; len(run) > 0 {
			if n, err := unix.Pwrite(img.fd, run, int64(from)); err != nil || n != len(run) {
				return fmt.Errorf("%d of %d bytes written: %w", n, len(run), err)
			}
		}
		from = end + img.page
	}
	return nil
}

// Size is the size of the image in bytes.
func (img *Image) Size() int { return img.size }

// Held is the memory that the image takes, in bytes.
func (img *Image) Held() int64 { return img.held }

// Close frees the image.
func (img *Image) Close() error {
	var err error
	if img.view != nil {
		err = unix.Munmap(img.view)
	}
	if img.fd >= 0 {
		err = errors.Join(err, unix.Close(img.fd))
	}
	img.view, img.fd = nil, -1
	return err
}

// copyTo makes the bytes of mem from from to until, which are whole pages, equal to
// the image, and zero beyond it.
func (img *Image) copyTo(mem []byte, from, until int) {
	for ; from < until; from += img.page {
		page := mem[from : from+img.page]
		if from < img.size && !img.zero[from/img.page] {
			copy(page, img.view[from:])
		} else {
			clear(page)
		}
	}
}
