package edgetest

import (
	"bufio"
	"bytes"
	"strings"
	"sync"
)

// Output keeps what a program prints.
type Output struct {
	want string
	Seen chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	told bool
}

// NewOutput returns an Output whose Seen is closed once it has the text want.
func NewOutput(want string) *Output { return &Output{want: want, Seen: make(chan struct{})} }

func (w *Output) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if !w.told && strings.Contains(w.text.String(), w.want) {
		w.told = true
		close(w.Seen)
	}
	return len(p), nil
}

func (w *Output) String() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var tail []string
	for sc := bufio.NewScanner(bytes.NewReader(w.text.Bytes())); sc.Scan(); {
		tail = append(tail, sc.Text())
	}
	return strings.Join(tail[max(0, len(tail)-40):], "\n")
}
