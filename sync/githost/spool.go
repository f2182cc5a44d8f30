package githost

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // git's own checksum
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxCommandList bounds the part of a push before its pack, in bytes.
const maxCommandList = 1 << 20

// spool is a request that was read whole, before a git command runs for it: a client
// that sends slowly keeps no command. It has no name, and is gone once it is closed.
type spool struct {
	*os.File
	size   int64
	budget *budget
	taken  int64 // of budget
	key    string
}

const spoolName = "request-"

func (h *Host) newSpool(who *Pusher) (*spool, error) {
	f, err := os.CreateTemp(h.o.Dir, spoolName)
	if err != nil {
		return nil, err
	}
	return &spool{File: f, budget: h.spooled, key: who.id()}, os.Remove(f.Name())
}

// dropSpools removes what a process left that was killed while it made one.
func (h *Host) dropSpools() error {
	left, err := filepath.Glob(filepath.Join(h.o.Dir, spoolName+"*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// Close gives the file and its share back.
func (s *spool) Close() error {
	s.budget.give(s.key, s.taken)
	s.taken = 0
	return s.File.Close()
}

// Write implements io.Writer. It fails where the pusher, or all, have too much on disk.
func (s *spool) Write(p []byte) (int, error) {
	if !s.budget.take(s.key, int64(len(p))) {
		return 0, errBusy
	}
	s.taken += int64(len(p))
	n, err := s.File.Write(p)
	s.size += int64(n)
	return n, err
}

// take reads a request of at most so many bytes, or its start: the git command says
// what is wrong with it, and the client reads that once it has sent the rest.
func (s *spool) take(in io.Reader, most int64) error {
	_, err := io.Copy(struct{ io.Writer }{s}, io.LimitReader(in, most)) // not by the file's own ReadFrom
	if err == nil && s.size == most {
		_, err = io.CopyN(io.Discard, in, most)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return s.rewind()
}

func (s *spool) rewind() error {
	_, err := s.Seek(0, io.SeekStart)
	return err
}

// takePush reads what a client of ssh pushes: commands and, if one of them brings
// objects, a pack. Some clients do not say that they have ended; the pack does, by the
// checksum at its end.
func (s *spool) takePush(in io.Reader, most int64) error {
	brings, err := s.takeCommands(in)
	if err != nil || !brings {
		return errors.Join(err, s.rewind())
	}
	end := &packEnd{}
	buf := make([]byte, 1<<15)
	for err == nil && s.size < most {
		var n int
		n, err = in.Read(buf)
		if _, err := s.Write(buf[:n]); err != nil {
			return err
		}
		if n > 0 && end.reached(buf[:n]) {
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return s.rewind()
}

func (s *spool) takeCommands(in io.Reader) (brings bool, err error) {
	in = io.TeeReader(io.LimitReader(in, maxCommandList), s)
	buf := make([]byte, 65520)
	for {
		if _, err := io.ReadFull(in, buf[:4]); err != nil {
			if errors.Is(err, io.EOF) && s.size == 0 {
				return false, nil
			}
			return false, err
		}
		n, err := strconv.ParseUint(string(buf[:4]), 16, 16)
		if err != nil || n > 0 && n < 4 || n > uint64(len(buf)) {
			return false, fmt.Errorf("%q is no length of a line", buf[:4])
		}
		if n == 0 {
			return brings, nil
		}
		line := buf[4:n]
		if _, err := io.ReadFull(in, line); err != nil {
			return false, err
		}
		fields := strings.SplitN(string(line), " ", 3)
		brings = brings || len(fields) == 3 && fields[1] != zero
	}
}

// packEnd finds the end of a pack: the SHA-1 of what is before it.
type packEnd struct {
	sum  hash.Hash
	tail []byte // what may be the checksum
}

func (p *packEnd) reached(b []byte) bool {
	if p.sum == nil {
		p.sum = sha1.New() //nolint:gosec // git's own checksum
	}
	all := append(p.tail, b...)
	cut := max(0, len(all)-sha1.Size)
	_, _ = p.sum.Write(all[:cut]) // a hash does not fail
	p.tail = bytes.Clone(all[cut:])
	return bytes.Equal(p.sum.Sum(nil), p.tail)
}

// request takes a place among the requests of a pusher and of a network.
func (h *Host) request(ctx context.Context, s *session) (leave func(), err error) {
	return h.requests.enter(ctx, key{"pusher " + s.who.id(), eachRequests}, key{"network " + s.from, netRequests})
}

// turn takes a place among the git commands that run.
func (h *Host) turn(ctx context.Context, s *session) (leave func(), err error) {
	return h.commands.enter(ctx, key{"pusher " + s.who.id(), eachCommands}, key{"network " + s.from, netCommands})
}

var errBusy = errors.New("this edge has too many pushes and fetches of yours, or of all, at once: try again")
