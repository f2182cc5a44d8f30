package linear

import "sync"

// Shared is the image of one module's memories: made from the first, gone with the
// last. The zero value is ready.
type Shared struct {
	mu    sync.Mutex
	image *Image // nil while users is 0
	users int
}

// Adopt makes m a copy of the image, which is m's content if no other uses it. The caller
// owes a Leave, after an error too.
func (s *Shared) Adopt(r *Restorer, m *Memory) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	if s.image == nil {
		var err error
		if s.image, err = r.NewImage(m); err != nil {
			return err
		}
	}
	return m.Adopt(s.image)
}

// Leave is called when a memory that has adopted the image is gone.
func (s *Shared) Leave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 || s.image == nil {
		return nil
	}
	err := s.image.Close()
	s.image = nil
	return err
}
