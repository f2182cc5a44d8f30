package gitwire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/terrane/terrane/sync/internal/origin"
)

const maxPacket = 65520

// Refs is what a server lists.
type Refs struct {
	At map[string]plumbing.Hash
	// Shallow are the commits whose parents the server's repository lacks.
	Shallow []plumbing.Hash
	caps    []string
}

func (r *Refs) can(capability string) bool {
	return slices.Contains(r.caps, capability)
}

// readPacket reads a line into buf; nil is a flush.
func readPacket(in io.Reader, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(in, buf[:4]); err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(string(buf[:4]), 16, 16)
	switch {
	case err != nil || n > maxPacket || 0 < n && n < 4:
		return nil, fmt.Errorf("the origin does not speak git's protocol: %q is no length of a line", buf[:4])
	case n == 0:
		return nil, nil
	}
	line := buf[:n-4]
	if _, err := io.ReadFull(in, line); err != nil {
		return nil, unexpected(err)
	}
	if words, ok := bytes.CutPrefix(line, []byte("ERR ")); ok {
		return nil, fmt.Errorf("the origin says: %s", clean(words))
	}
	return line, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// clean makes a server's words fit for a log.
func clean(words []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, string(words[:min(len(words), 300)])))
}

// readRefs reads a listing and keeps what is wanted.
func readRefs(in io.Reader, wanted func(string) bool) (*Refs, error) {
	refs := &Refs{At: map[string]plumbing.Hash{}}
	buf := make([]byte, maxPacket)
	for first := true; ; {
		line, err := readPacket(in, buf)
		switch {
		case err != nil:
			if first && errors.Is(err, io.EOF) {
				return nil, errSilent
			}
			return nil, unexpected(err)
		case line == nil && first:
			return nil, transport.ErrEmptyRemoteRepository
		case line == nil:
			return refs, nil
		}
		text := strings.TrimSuffix(string(line), "\n")
		if text == "version 1" {
			continue
		}
		if first {
			first = false
			var caps string
			text, caps, _ = strings.Cut(text, "\x00")
			refs.caps = strings.Fields(caps)
		}
		if err := refs.add(text, wanted); err != nil {
			return nil, err
		}
	}
}

// errSilent means that a server has ended without a listing; it may have said why
// elsewhere.
var errSilent = fmt.Errorf("the origin lists nothing: %w", io.ErrUnexpectedEOF)

func (r *Refs) add(text string, wanted func(string) bool) error {
	hash, name, ok := strings.Cut(text, " ")
	if hash == "shallow" && plumbing.IsHash(name) {
		if len(r.Shallow) < maxShallow {
			r.Shallow = append(r.Shallow, plumbing.NewHash(name))
		}
		return nil
	}
	if !ok || !plumbing.IsHash(hash) || len(hash) != 40 {
		return fmt.Errorf("the origin lists %q: want object names of 40 digits (SHA-1) and references", clean([]byte(text)))
	}
	if !wanted(name) {
		return nil
	}
	if len(r.At) >= maxKept {
		return origin.Refuse("the origin lists more than %d branches that would be followed: delete some", maxKept)
	}
	r.At[strings.Clone(name)] = plumbing.NewHash(hash)
	return nil
}

// request asks for a commit.
func request(want plumbing.Hash, haves []plumbing.Hash, refs *Refs) []byte {
	caps := []string{"agent=terrane"}
	for _, c := range []string{"side-band-64k", "ofs-delta", "no-progress"} {
		if refs.can(c) {
			caps = append(caps, c)
		}
	}
	var b bytes.Buffer
	line := func(text string) { fmt.Fprintf(&b, "%04x%s\n", len(text)+5, text) }
	line("want " + want.String() + " " + strings.Join(caps, " "))
	b.WriteString("0000")
	for _, h := range haves {
		line("have " + h.String())
	}
	line("done")
	return b.Bytes()
}

// packOf returns the pack in an answer.
func packOf(answer io.Reader, sideband bool) (io.Reader, error) {
	in := bufio.NewReaderSize(answer, 1<<16)
	buf := make([]byte, maxPacket)
	for range 16 { // a common commit is acknowledged once, by some servers again
		start, err := in.Peek(8)
		if err != nil {
			return nil, unexpected(err)
		}
		if s := string(start); s[:4] == "PACK" || s[4:7] != "ACK" && s[4:7] != "NAK" && s[4:] != "ERR " {
			if sideband {
				return &demux{in: in, buf: buf}, nil
			}
			return in, nil
		}
		if _, err := readPacket(in, buf); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the origin acknowledges without end")
}

// demux reads the pack out of an answer with side bands.
type demux struct {
	in    io.Reader
	buf   []byte
	data  []byte
	words words // of its second band
}

// errPartial is what a partial clone that is asked for objects which it lacks means.
var errPartial = errors.New("the origin is a partial clone (git clone --filter), which lacks objects: git fetch --refetch --no-filter there gets them, or make it by git clone without --filter")

// Read implements io.Reader.
func (d *demux) Read(p []byte) (int, error) {
	for len(d.data) == 0 {
		line, err := readPacket(d.in, d.buf)
		switch {
		case err != nil:
			return 0, unexpected(err)
		case line == nil:
			return 0, io.EOF
		case len(line) == 0 || line[0] < 1 || line[0] > 3:
			return 0, fmt.Errorf("the origin does not speak git's protocol: %q is no side band", clean(line))
		case line[0] == 1:
			d.data = line[1:]
		case line[0] == 2:
			_, _ = d.words.Write(line[1:]) // never fails
		case line[0] == 3 && strings.Contains(d.words.String(), "promisor remote"):
			return 0, errPartial
		case line[0] == 3:
			return 0, fmt.Errorf("the origin says: %s", clean(line[1:]))
		}
	}
	n := copy(p, d.data)
	d.data = d.data[n:]
	return n, nil
}
