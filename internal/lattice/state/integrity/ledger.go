package integrity

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	magic      = "TERRLGR1"
	saltSize   = 16
	headerSize = len(magic) + saltSize + 8 + 8 + 8 + 4
	recordSize = 8 + 8 + 8 + 8 + 4 + 4

	// Dead is the Expires of a key that was deleted.
	Dead = -1
	// markSlack is how far behind the clock the newest mark may be.
	markSlack = 30 * time.Second
	// minLog is how many records a log has at least before it is compacted.
	minLog = 1 << 14
)

// Key is a tenant's key, as hashes with the ledger's salt: who chooses keys cannot
// choose two with one hash.
type Key struct{ Tenant, Name uint64 }

// Entry is what is known of a key.
type Entry struct {
	Key
	Seq     uint64
	Expires int64  // nanoseconds by the lattice's clock; 0: never, Dead: deleted
	Sum     uint32 // of what tells the write from others
}

// Ledger is the record of one bucket at one edge. It is safe for concurrent use.
type Ledger struct {
	path  string
	salt  [saltSize]byte
	begun bool // there was a header

	mu      sync.Mutex // guards what follows
	created int64
	last    uint64
	marked  int64 // the newest time known
	kept    int64 // records of the snapshot
	logged  int64 // records of the log
	log     *os.File
	dirty   bool
	damaged int
}

// Open opens the ledger that is kept in path and files whose names begin with it, or
// begins one. A ledger whose header is damaged begins again: Damaged says so.
func Open(path string) (*Ledger, error) {
	l := &Ledger{path: path}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := l.readHeader(); err != nil {
		return nil, err
	}
	if err := l.each(func(e Entry) {
		if e.Key == (Key{}) {
			l.marked = max(l.marked, e.Expires)
		}
		l.last = max(l.last, e.Seq)
	}); err != nil {
		return nil, err
	}
	if err := l.openLog(); err != nil {
		return nil, err
	}
	if !l.begun { // the salt must outlive the records
		f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the edge's data folder
		if err == nil {
			_, err = f.Write(l.header(0, l.last, 0))
			err = errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path)))
		}
		return l, err
	}
	return l, nil
}

// readHeader reads the snapshot's header. A ledger that has none gets a new salt.
func (l *Ledger) readHeader() error {
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = rand.Read(l.salt[:])
		if _, logged := os.Stat(l.path + ".log"); logged == nil {
			l.damaged++
		}
		return err
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was read
	h := make([]byte, headerSize)
	if _, err := io.ReadFull(f, h); err != nil || !validHeader(h) {
		l.damaged++
		_, err = rand.Read(l.salt[:])
		return err
	}
	l.begun = true
	copy(l.salt[:], h[len(magic):])
	rest := h[len(magic)+saltSize:]
	l.created = int64(binary.LittleEndian.Uint64(rest))
	l.last = binary.LittleEndian.Uint64(rest[8:])
	l.kept = int64(binary.LittleEndian.Uint64(rest[16:]))
	return nil
}

func validHeader(h []byte) bool {
	sum := len(h) - 4
	return bytes.HasPrefix(h, []byte(magic)) && checksum(h[:sum]) == binary.LittleEndian.Uint32(h[sum:])
}

func (l *Ledger) header(created int64, last uint64, n int64) []byte {
	h := append([]byte(magic), l.salt[:]...)
	h = binary.LittleEndian.AppendUint64(h, uint64(created))
	h = binary.LittleEndian.AppendUint64(h, last)
	h = binary.LittleEndian.AppendUint64(h, uint64(n))
	return binary.LittleEndian.AppendUint32(h, checksum(h))
}

func (l *Ledger) encode(b []byte, e *Entry) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, e.Tenant)
	b = binary.LittleEndian.AppendUint64(b, e.Name)
	b = binary.LittleEndian.AppendUint64(b, e.Seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Expires))
	b = binary.LittleEndian.AppendUint32(b, e.Sum)
	return binary.LittleEndian.AppendUint32(b, l.sum(b[start:]))
}

// sum includes the salt: a record of another ledger is not valid in this one.
func (l *Ledger) sum(record []byte) uint32 {
	return crc32.Update(checksum(l.salt[:]), crc32.MakeTable(crc32.Castagnoli), record)
}

func (l *Ledger) decode(b []byte) (e Entry, ok bool) {
	if l.sum(b[:recordSize-4]) != binary.LittleEndian.Uint32(b[recordSize-4:]) {
		return e, false
	}
	e.Tenant, e.Name = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	e.Seq, e.Expires = binary.LittleEndian.Uint64(b[16:]), int64(binary.LittleEndian.Uint64(b[24:]))
	e.Sum = binary.LittleEndian.Uint32(b[32:])
	return e, true
}

// each calls f with every record of all files, and counts the damaged ones. A record at
// the end of a log that was cut short is none.
func (l *Ledger) each(f func(Entry)) error {
	for _, suffix := range []string{"", ".old", ".log"} {
		file, err := os.Open(l.path + suffix) //nolint:gosec // the edge's data folder
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		n, err := l.eachOf(file, suffix == "", f)
		err = errors.Join(err, file.Close())
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name(), err)
		}
		if suffix == ".log" {
			l.logged = n
		}
	}
	return nil
}

// eachOf returns how many records there are up to the last one that is valid.
func (l *Ledger) eachOf(file io.Reader, snapshot bool, f func(Entry)) (n int64, err error) {
	in, b := bufio.NewReaderSize(file, 1<<16), make([]byte, recordSize)
	if snapshot {
		if _, err := in.Discard(headerSize); err != nil {
			return 0, nil // readHeader has counted it
		}
	}
	for bad := int64(0); ; {
		_, err = io.ReadFull(in, b)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if snapshot {
				l.damaged += int(l.kept - n)
			}
			return n, nil
		}
		if err != nil {
			return n, err
		}
		e, ok := l.decode(b)
		if !ok {
			bad++
			continue
		}
		l.damaged += int(bad) // they are not the end
		n += bad + 1
		bad = 0
		f(e)
	}
}

// openLog opens the log to append to, without a record that was cut short.
func (l *Ledger) openLog() (err error) {
	l.log, err = os.OpenFile(l.path+".log", os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = errors.Join(l.log.Truncate(l.logged*recordSize), seekEnd(l.log))
	}
	return err
}

func seekEnd(f *os.File) error {
	_, err := f.Seek(0, io.SeekEnd)
	return err
}

// Hash is the key of a tenant's key.
func (l *Ledger) Hash(tenant, key string) Key { return hash(l.salt[:], tenant, key) }

// Hasher hashes as a ledger with that salt does, to compare two edges' entries.
func Hasher(salt []byte) func(tenant, key string) Key {
	return func(tenant, key string) Key { return hash(salt, tenant, key) }
}

func hash(salt []byte, tenant, key string) Key {
	var room [256]byte
	b := append(room[:0], salt...)
	b = append(b, tenant...)
	t := sha256.Sum256(b)
	b = append(b, 0)
	b = append(b, key...)
	k := sha256.Sum256(b)
	return Key{binary.LittleEndian.Uint64(t[:]), binary.LittleEndian.Uint64(k[:])}
}

// TenantHash is Hash's Tenant alone.
func (l *Ledger) TenantHash(tenant string) uint64 {
	t := sha256.Sum256(append(append(make([]byte, 0, 128), l.salt[:]...), tenant...))
	return binary.LittleEndian.Uint64(t[:])
}

// Sum is a checksum of what tells a write from others.
func Sum(write string) uint32 { return checksum([]byte(write)) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Created is what Rewrite was told of the stream, 0 if there is none yet.
func (l *Ledger) Created() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created
}

// Last is the highest sequence recorded.
func (l *Ledger) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Damaged is how many parts of the ledger could not be read.
func (l *Ledger) Damaged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.damaged
}

// Append records a change. It does not wait for the disk.
func (l *Ledger) Append(e *Entry) error {
	var room [recordSize]byte
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.log.Write(l.encode(room[:0], e)); err != nil {
		_ = l.log.Truncate(l.logged * recordSize) // no part of a record before the next
		return errors.Join(err, seekEnd(l.log))
	}
	l.logged++
	l.last = max(l.last, e.Seq)
	l.dirty = true
	return nil
}

// Sync brings what was appended to the disk, and the time: what had expired by then is
// not asked for later, even if the clock goes back.
func (l *Ledger) Sync(now int64) error {
	l.mu.Lock()
	stale := now-l.marked > int64(markSlack)/3 && l.created != 0
	dirty, last, log := l.dirty, l.last, l.log
	l.dirty = false
	l.mu.Unlock()
	if stale {
		if err := l.Append(&Entry{Seq: last, Expires: now}); err != nil {
			return err
		}
		l.mu.Lock()
		l.marked = now
		l.mu.Unlock()
	}
	if !dirty && !stale {
		return nil
	}
	err := log.Sync()
	if errors.Is(err, os.ErrClosed) { // Rewrite has replaced it
		return nil
	}
	return err
}

// Large reports whether the log should be compacted.
func (l *Ledger) Large() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logged > max(minLog, l.kept)
}

// Rewrite replaces the ledger by entries, and what is appended meanwhile. They must
// include everything that was appended before the call and is still so. It is for one
// goroutine at a time.
func (l *Ledger) Rewrite(created int64, entries iter.Seq[Entry]) error {
	if err := l.rotate(); err != nil {
		return err
	}
	l.mu.Lock()
	last, marked := l.last, l.marked
	l.mu.Unlock()
	temp := l.path + ".tmp"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600) //nolint:gosec // the edge's data folder
	if err != nil {
		return err
	}
	n, err := l.write(f, marked, last, entries)
	if err == nil {
		_, err = f.WriteAt(l.header(created, last, n), 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(temp, l.path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(l.path))
	}
	if err == nil {
		err = os.Remove(l.path + ".old")
	}
	if err != nil {
		return fmt.Errorf("rewrite %s: %w", l.path, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created, l.kept, l.damaged = created, n, 0
	return nil
}

func (l *Ledger) write(f io.Writer, marked int64, last uint64, entries iter.Seq[Entry]) (n int64, err error) {
	out := bufio.NewWriterSize(f, 1<<16)
	b := l.encode(make([]byte, headerSize, headerSize+recordSize), &Entry{Seq: last, Expires: marked})
	_, err = out.Write(b)
	n = 1
	for e := range entries {
		if err != nil {
			break
		}
		_, err = out.Write(l.encode(b[:0], &e))
		n++
	}
	return n, errors.Join(err, out.Flush())
}

// rotate begins a new log. The old one is there until the snapshot has what is in it.
func (l *Ledger) rotate() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := os.Stat(l.path + ".old"); err == nil {
		return nil // of an attempt that failed: both logs are there, and neither has what the other has
	}
	if err := os.Rename(l.path+".log", l.path+".old"); err != nil {
		return err
	}
	log, err := os.OpenFile(l.path+".log", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, os.Rename(l.path+".old", l.path+".log"))
	}
	_ = l.log.Close() // the snapshot replaces it
	l.log, l.logged, l.dirty = log, 0, false
	return nil
}

// Forget drops everything: the bucket begins again.
func (l *Ledger) Forget() error {
	return l.Rewrite(0, func(func(Entry) bool) {})
}

// Close brings everything to the disk.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.log.Sync(), l.log.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the edge's data folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
