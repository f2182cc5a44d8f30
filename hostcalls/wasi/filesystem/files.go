package filesystem

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/clocks"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// code is a case of error-code.
type code int

// The cases that there are reasons for here.
const (
	codeExist        code = 7
	codeInvalid      code = 12
	codeIO           code = 13
	codeIsDirectory  code = 14
	codeNameTooLong  code = 18
	codeNoEntry      code = 20
	codeNotDirectory code = 24
	codeNotPermitted code = 31
	codeQuota        code = 6
	codeReadOnly     code = 33
)

// Error is what a stream of a file fails with.
func (c code) Error() string {
	_, names, _ := strings.Cut(errorCodes, "enum{")
	return "file: " + strings.TrimSpace(strings.Split(strings.TrimSuffix(names, "}"), ",")[c])
}

func codeOf(err error) code {
	c, ok := errors.AsType[code](err)
	switch {
	case ok:
		return c
	case errors.Is(err, fs.ErrNotExist):
		return codeNoEntry
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, fs.ErrPermission):
		return codeNotPermitted
	}
	return codeIO
}

const (
	maxOpen = 64 // descriptors of a request
	maxPath = 4096
	maxRead = 1 << 20 // bytes of one call
)

// The cases of descriptor-type.
const (
	typeDirectory = 3
	typeRegular   = 6
)

// part is what this package keeps for a request.
type part struct {
	s    *abi.State
	open int
}

func partOf(s *abi.State) *part {
	return abi.PartOf(s, abi.PartFilesystem, func(s *abi.State) *part { return &part{s: s} })
}

// Idle implements abi.Part.
func (*part) Idle() {}

// Answer implements abi.Part.
func (*part) Answer() {}

// Close implements abi.Part.
func (p *part) Close() { p.open = 0 }

// descriptor is the resource of that name. It stays open for the streams that were made of it.
type descriptor struct {
	p       *part
	name    string
	dir     bool
	info    fs.FileInfo
	content io.ReaderAt
	closer  io.Closer
	users   int // streams, and the handle
}

// Drop implements abi.Resource.
func (d *descriptor) Drop() {
	if d.users--; d.users == 0 {
		d.p.open--
		if d.closer != nil {
			_ = d.closer.Close() // only read from
		}
	}
}

// openFile opens a file for reading anywhere in it.
func (p *part) openFile(name string) (*descriptor, error) {
	if p.open == maxOpen {
		return nil, codeQuota
	}
	opened, err := p.s.X.Files().Open(name)
	if err != nil {
		return nil, err
	}
	d := &descriptor{p: p, name: name, closer: opened, users: 1}
	p.open++
	if d.info, err = opened.Stat(); err != nil {
		d.Drop()
		return nil, err
	}
	d.dir = d.info.IsDir()
	at, ok := opened.(io.ReaderAt)
	d.content = at
	if ok || d.dir {
		return d, nil
	}
	if err := p.s.X.Hold(d.info.Size()); err != nil {
		d.Drop()
		return nil, codeQuota
	}
	content, err := io.ReadAll(io.LimitReader(opened, d.info.Size()))
	if err != nil {
		d.Drop()
		return nil, err
	}
	d.content = bytes.NewReader(content)
	return d, nil
}

func self(c *abi.Call) (*descriptor, error) { return abi.Lent[*descriptor](c, 0) }

// fail answers with the error-code of err.
func fail(c *abi.Call, err error) error { return c.Fail(int(codeOf(err))) }

// readOnly is a function that would change something.
func readOnly(_ context.Context, c *abi.Call) error {
	if _, err := self(c); err != nil {
		return err
	}
	return fail(c, codeReadOnly)
}

// nothing is a function with nothing to do.
func nothing(_ context.Context, c *abi.Call) error {
	if _, err := self(c); err != nil {
		return err
	}
	c.Ok()
	return nil
}

func getDirectories(_ context.Context, c *abi.Call) error {
	if c.X.Files() == nil {
		c.Result().List(0)
		return nil
	}
	p := partOf(c.State)
	d, err := p.openFile(".")
	if err != nil {
		return err
	}
	entry := c.Result().List(1).At(0)
	entry.Field(1).Text("/")
	return entry.Field(0).New(d, 0)
}

// file is the descriptor of a regular file.
func file(c *abi.Call) (d *descriptor, fault error, trap error) {
	if d, trap = self(c); trap != nil {
		return nil, nil, trap
	}
	if d.dir {
		return d, codeIsDirectory, nil
	}
	return d, nil, nil
}

func read(_ context.Context, c *abi.Call) error {
	d, fault, err := file(c)
	if err != nil {
		return err
	}
	if fault != nil {
		return fail(c, fault)
	}
	if c.U64(2) > 1<<62 {
		return fail(c, codeInvalid)
	}
	b := make([]byte, min(c.U64(1), maxRead, uint64(max(0, d.info.Size()-int64(c.U64(2))))))
	n := 0
	if len(b) > 0 { // else it may be beyond the end
		n, err = d.content.ReadAt(b, int64(c.U64(2)))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fail(c, err)
	}
	r := c.Ok()
	r.Field(0).Bytes(b[:n])
	r.Field(1).PutBool(int64(c.U64(2))+int64(n) >= d.info.Size())
	return nil
}

// reader is a Source of a file.
type reader struct {
	stream.Always
	*descriptor
	offset int64
	buf    []byte
}

const readerChunk = 64 << 10

// Read implements stream.Source.
func (r *reader) Read(n int) ([]byte, error) {
	if r.buf == nil {
		r.buf = make([]byte, min(readerChunk, max(0, r.info.Size()-r.offset)))
	}
	got, err := 0, io.EOF
	if len(r.buf) > 0 {
		got, err = r.content.ReadAt(r.buf[:min(n, len(r.buf))], r.offset)
	}
	r.offset += int64(got)
	switch {
	case got > 0 || n == 0:
		return r.buf[:got], nil
	case err == nil || errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	return nil, codeOf(err)
}

// Close implements stream.Source.
func (r *reader) Close() { r.Drop() }

func readViaStream(_ context.Context, c *abi.Call) error {
	d, fault, err := file(c)
	if err != nil {
		return err
	}
	if c.U64(1) > 1<<62 {
		fault = codeInvalid
	}
	if fault != nil {
		return fail(c, fault)
	}
	d.users++
	return c.Ok().New(&stream.Input{Source: &reader{descriptor: d, offset: int64(c.U64(1))}}, 0)
}

func getFlags(_ context.Context, c *abi.Call) error {
	if _, err := self(c); err != nil {
		return err
	}
	c.Ok().Put(1) // read
	return nil
}

func typeOf(dir bool) uint64 {
	if dir {
		return typeDirectory
	}
	return typeRegular
}

func getType(_ context.Context, c *abi.Call) error {
	d, err := self(c)
	if err != nil {
		return err
	}
	c.Ok().Put(typeOf(d.dir))
	return nil
}

func putStat(to abi.Place, info fs.FileInfo) {
	to.Field(0).Put(typeOf(info.IsDir()))
	to.Field(1).Put(1)
	to.Field(2).Put(uint64(size(info)))
	for i := range 3 {
		if t := info.ModTime(); t.Unix() > 0 {
			clocks.Put(to.Field(3+i).Some(), t)
		} else {
			to.Field(3 + i).None()
		}
	}
}

func size(info fs.FileInfo) int64 {
	if info.IsDir() {
		return 0
	}
	return info.Size()
}

func stat(_ context.Context, c *abi.Call) error {
	d, err := self(c)
	if err != nil {
		return err
	}
	putStat(c.Ok(), d.info)
	return nil
}
