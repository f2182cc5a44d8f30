package filesystem

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"path"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// at is the name of the path in core parameters i and i+1, relative to a folder.
func at(c *abi.Call, i int) (d *descriptor, name string, fault error, trap error) {
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
