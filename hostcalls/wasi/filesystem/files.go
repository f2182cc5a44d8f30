package filesystem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"path"
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
func file(c *abi.Call) (d *descriptor, fault error, trap error) { //nolint:revive // both are errors, of the guest and for it
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
	n, err := d.content.ReadAt(b, int64(c.U64(2)))
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
	got, err := r.content.ReadAt(r.buf[:min(n, len(r.buf))], r.offset)
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

// at is the name of the path in core parameters i and i+1, relative to a folder.
func at(c *abi.Call, i int) (d *descriptor, name string, fault error, trap error) { //nolint:revive // both are errors, of the guest and for it
	d, trap = self(c)
	if trap != nil {
		return nil, "", nil, trap
	}
	b, trap := c.Text(i)
	if trap != nil {
		return nil, "", nil, trap
	}
	switch {
	case !d.dir:
		return d, "", codeNotDirectory, nil
	case len(b) == 0:
		return d, "", codeNoEntry, nil
	case len(b) > maxPath:
		return d, "", codeNameTooLong, nil
	}
	name = path.Join(d.name, string(b))
	if b[0] == '/' || !fs.ValidPath(name) || bytes.IndexByte(b, 0) >= 0 {
		return d, "", codeNotPermitted, nil
	}
	return d, name, nil, nil
}

func statAt(_ context.Context, c *abi.Call) error {
	_, name, fault, err := at(c, 2)
	if err != nil {
		return err
	}
	var info fs.FileInfo
	if fault == nil {
		info, fault = fs.Stat(c.X.Files(), name)
	}
	if fault != nil {
		return fail(c, fault)
	}
	putStat(c.Ok(), info)
	return nil
}

// The flags of open-at.
const (
	openCreate    = 1 << 0
	openDirectory = 1 << 1
	openExclusive = 1 << 2
	openTruncate  = 1 << 3
	flagWrite     = 1 << 1
)

func openAt(_ context.Context, c *abi.Call) error {
	d, name, fault, err := at(c, 2)
	if err != nil {
		return err
	}
	flags := c.U32(4)
	var opened *descriptor
	if fault == nil {
		opened, fault = d.p.openFile(name)
	}
	switch {
	case fault != nil && flags&openCreate != 0 && codeOf(fault) == codeNoEntry:
		fault = codeReadOnly
	case fault != nil:
	case flags&openCreate != 0 && flags&openExclusive != 0:
		fault = codeExist
	case flags&openDirectory != 0 && !opened.dir:
		fault = codeNotDirectory
	case flags&openTruncate != 0 || c.U32(5)&flagWrite != 0:
		fault = codeReadOnly
	}
	if fault != nil {
		if opened != nil {
			opened.Drop()
		}
		return fail(c, fault)
	}
	return c.Ok().New(opened, 0)
}

// readlinkAt finds no links: there are none in a release.
func readlinkAt(_ context.Context, c *abi.Call) error {
	_, name, fault, err := at(c, 1)
	if err != nil {
		return err
	}
	if fault == nil {
		_, fault = fs.Stat(c.X.Files(), name)
	}
	if fault == nil {
		fault = codeInvalid
	}
	return fail(c, fault)
}

func isSameObject(_ context.Context, c *abi.Call) error {
	d, err := self(c)
	if err != nil {
		return err
	}
	other, err := abi.Lent[*descriptor](c, 1)
	if err != nil {
		return err
	}
	return c.ReturnBool(d.name == other.name)
}

func putHash(to abi.Place, name string, info fs.FileInfo) {
	h := sha256.New()
	h.Write(binary.LittleEndian.AppendUint64([]byte(name+"\x00"), uint64(size(info))))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(info.ModTime().UnixNano())))
	sum := h.Sum(nil)
	to.Field(0).Put(binary.LittleEndian.Uint64(sum))
	to.Field(1).Put(binary.LittleEndian.Uint64(sum[8:]))
}

func metadataHash(_ context.Context, c *abi.Call) error {
	d, err := self(c)
	if err != nil {
		return err
	}
	putHash(c.Ok(), d.name, d.info)
	return nil
}

func metadataHashAt(_ context.Context, c *abi.Call) error {
	_, name, fault, err := at(c, 2)
	if err != nil {
		return err
	}
	var info fs.FileInfo
	if fault == nil {
		info, fault = fs.Stat(c.X.Files(), name)
	}
	if fault != nil {
		return fail(c, fault)
	}
	putHash(c.Ok(), name, info)
	return nil
}

// entries is the resource directory-entry-stream.
type entries struct{ rest []fs.DirEntry }

// Drop implements abi.Resource.
func (*entries) Drop() {}

func readDirectory(_ context.Context, c *abi.Call) error {
	d, err := self(c)
	if err != nil {
		return err
	}
	if !d.dir {
		return fail(c, codeNotDirectory)
	}
	all, err := fs.ReadDir(c.X.Files(), d.name)
	if err != nil {
		return fail(c, err)
	}
	return c.Ok().New(&entries{all}, 0)
}

func readDirectoryEntry(_ context.Context, c *abi.Call) error {
	e, err := abi.Lent[*entries](c, 0)
	if err != nil {
		return err
	}
	r := c.Ok()
	if len(e.rest) == 0 {
		r.None()
		return nil
	}
	next := e.rest[0]
	e.rest = e.rest[1:]
	entry := r.Some()
	entry.Field(0).Put(typeOf(next.IsDir()))
	entry.Field(1).Text(abi.Valid(next.Name()))
	return nil
}

// errorCodeOf tells what a stream of a file has failed for.
func errorCodeOf(_ context.Context, c *abi.Call) error {
	e, err := abi.Lent[*stream.Error](c, 0)
	if err != nil {
		return err
	}
	if known, ok := errors.AsType[code](e.Err); ok {
		c.Result().Some().Case(int(known))
	} else {
		c.Result().None()
	}
	return nil
}
