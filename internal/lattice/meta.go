package lattice

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server"
)

// A server ignores a stream whose small file of its configuration, or that file's checksum,
// is damaged, though all its messages are there. An edge alone has no other copy of them, so
// it keeps one of both next to the records of what its streams must hold, and restores it
// before a start.
const metaSuffix = ".meta"

func (l *Lattice) streamsDir() string {
	return filepath.Join(l.opts.Dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams")
}

func (l *Lattice) metaCopy(stream string) string {
	return filepath.Join(l.opts.Dir, ledgerDir, stream+metaSuffix)
}

// metaOf is a stream's configuration with its checksum, nil if one of them is damaged or
// missing.
func metaOf(dir string) ([]byte, error) {
	config, err := os.ReadFile(filepath.Join(dir, server.JetStreamMetaFile))  //nolint:gosec // the edge's data folder
	sum, err2 := os.ReadFile(filepath.Join(dir, server.JetStreamMetaFileSum)) //nolint:gosec // the edge's data folder
	if err := errors.Join(err, err2); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if meta := append(config, sum...); validMeta(filepath.Base(dir), meta) {
		return meta, nil
	}
	return nil, nil
}

const metaSum = 2 * highwayhash.Size64 // hexadecimal digits

func validMeta(stream string, meta []byte) bool {
	at := len(meta) - metaSum
	if at < 0 {
		return false
	}
	key := sha256.Sum256([]byte(stream))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return false
	}
	_, _ = h.Write(meta[:at]) // a hash does not fail
	return hex.EncodeToString(h.Sum(nil)) == string(meta[at:])
}

// keepMeta brings the copies up to date.
func (l *Lattice) keepMeta() error {
	if l.Clustered() || l.External() {
		return nil
	}
	entries, err := os.ReadDir(l.streamsDir())
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") { // the latter are being deleted
			continue
		}
		meta, err := metaOf(filepath.Join(l.streamsDir(), e.Name()))
		if err == nil && meta != nil {
			if old, failed := os.ReadFile(l.metaCopy(e.Name())); failed != nil || !bytes.Equal(old, meta) {
				err = errors.Join(os.MkdirAll(filepath.Join(l.opts.Dir, ledgerDir), 0o700), writeWhole(l.metaCopy(e.Name()), meta))
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// restoreMeta replaces what is damaged by the copy. No server must use the folder.
func (l *Lattice) restoreMeta() error {
	if l.Clustered() || l.External() {
		return nil
	}
	copies, err := filepath.Glob(l.metaCopy("*"))
	errs := []error{err}
	for _, path := range copies {
		stream := strings.TrimSuffix(filepath.Base(path), metaSuffix)
		dir := filepath.Join(l.streamsDir(), stream)
		if _, err := os.Stat(filepath.Join(dir, "msgs")); err != nil { // it was deleted, or is lost
			continue
		}
		have, err := metaOf(dir)
		if err != nil || have != nil {
			errs = append(errs, err)
			continue
		}
		meta, err := os.ReadFile(path) //nolint:gosec // the edge's data folder
		if err != nil || !validMeta(stream, meta) {
			errs = append(errs, err)
			continue
		}
		l.log.Warn("the configuration of a stream is damaged, and is restored from its copy", "stream", stream)
		at := len(meta) - metaSum
		errs = append(errs,
			writeWhole(filepath.Join(dir, server.JetStreamMetaFile), meta[:at]),
			writeWhole(filepath.Join(dir, server.JetStreamMetaFileSum), meta[at:]))
	}
	return errors.Join(errs...)
}
