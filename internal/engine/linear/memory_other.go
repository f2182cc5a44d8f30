//go:build !linux

package linear

// Memory is one linear memory. Only New makes one, Free ends it.
type Memory struct {
	// Take is asked for the bytes by which the memory exceeds its largest size since the last
	// Reset, and says whether it may. Nil: always.
	Take func(bytes int64) bool

	all    []byte
	size   int
	high   int
	image  *Image
	limit  uint64
	shrink bool
}

// New makes a memory of at most limit bytes.
func New(limit uint64) (*Memory, error) { return &Memory{limit: limit}, nil }

// Bytes is the memory in its present size.
func (m *Memory) Bytes() []byte { return m.all[:m.size] }

// Reallocate sets the size, and returns nil if it exceeds the limit, or Take refuses. It implements
// experimental.LinearMemory of wazero.
func (m *Memory) Reallocate(size uint64) []byte {
	if m.shrink {
		size = uint64(len(m.image.content))
	}
	if size > m.limit || m.Take != nil && int(size) > m.high && !m.Take(int64(size)-int64(m.high)) {
		return nil
	}
	if size > uint64(len(m.all)) {
		m.all = append(m.all, make([]byte, size-uint64(len(m.all)))...)
	}
	m.size = int(size)
	m.high = max(m.high, m.size)
	return m.all[:size]
}

// Free ends the memory. Bytes are void then.
func (m *Memory) Free() { m.all, m.size, m.high = nil, 0, 0 }

// Adopt makes the memory's beginning a copy of the image, and its size the image's.
// From now on Reset works.
func (m *Memory) Adopt(img *Image) error {
	m.image = img
	_, err := m.Reset()
	return err
}

// Image is what the memory has adopted, nil if nothing.
func (m *Memory) Image() *Image { return m.image }

// Reset makes the memory equal to its image, and returns how many bytes of its own
// it still holds.
func (m *Memory) Reset() (resident int64, err error) {
	clear(m.all[copy(m.all, m.image.content):])
	m.size, m.high = len(m.image.content), len(m.image.content)
	return int64(len(m.all)), nil
}

// Shrink makes the next Reallocate set the image's size, whatever it is asked for,
// until the returned function is called.
func (m *Memory) Shrink() (done func()) {
	m.shrink = true
	return func() { m.shrink = false }
}

// Image is what memories begin with.
type Image struct{ content []byte }

// Restorer is what Images need of the system.
type Restorer struct{}

// NewRestorer makes a Restorer.
func NewRestorer() *Restorer { return &Restorer{} }

// Method is how memories are put back, for logs.
func (*Restorer) Method() string { return "copy" }

// Close closes the restorer.
func (*Restorer) Close() error { return nil }

// NewImage copies the content of a memory.
func (*Restorer) NewImage(m *Memory) (*Image, error) {
	return &Image{append([]byte(nil), m.Bytes()...)}, nil
}

// Size is the size of the image in bytes.
func (img *Image) Size() int { return len(img.content) }

// Held is the memory that the image takes, in bytes.
func (img *Image) Held() int64 { return int64(len(img.content)) }

// Close frees the image.
func (img *Image) Close() error { return nil }
