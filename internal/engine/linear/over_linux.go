package linear

// Over is a Memory over bytes that someone else has mapped, from the start of a page, and
// unmaps: instead of Free. It keeps its size.
func Over(mapped []byte) *Memory { return &Memory{all: mapped, size: len(mapped), high: len(mapped)} }
