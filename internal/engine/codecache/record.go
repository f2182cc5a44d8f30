package codecache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
)

type digest [sha256.Size]byte

// record is the file of an entry:
//
//	magic | digest of the key and what follows | digest of the code | length of its name, 2 bytes, big-endian | its name | header
type record struct {
	entry Entry
	code  digest // zero if there is none
}

const magic = "terrane code 1\n\x00"

// maxName bounds the name of a file of code.
const maxName = 1 << 10

func (r *record) encode(key Key) []byte {
	body := append([]byte(nil), r.code[:]...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(r.entry.Code)))
	body = append(append(body, r.entry.Code...), r.entry.Header...)
	sum := seal(key, body)
	return append(append([]byte(magic), sum[:]...), body...)
}

var errDamaged = errors.New("the entry is damaged")

// seal is the digest of an entry's body: under another key it is another one.
func seal(key Key, body []byte) digest {
	h := sha256.New()
	h.Write(key[:])
	h.Write(body)
	return digest(h.Sum(nil))
}

// decode takes what a damaged disk may have made of a record.
func decode(key Key, raw []byte) (*record, error) {
	body, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok || len(body) < 2*sha256.Size+2 {
		return nil, errDamaged
	}
	sum, body := digest(body[:sha256.Size]), body[sha256.Size:]
	if seal(key, body) != sum {
		return nil, errDamaged
	}
	r := &record{code: digest(body[:sha256.Size])}
	body = body[sha256.Size:]
	size := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	if size > min(maxName, len(body)) {
		return nil, errDamaged
	}
	r.entry = Entry{Header: body[size:], Code: string(body[:size])}
	return r, checkName(r.entry.Code)
}

// checkName wants a name to be empty, or of a file in a directory in the cache's.
func checkName(name string) error {
	if name != "" && (!filepath.IsLocal(name) || filepath.Dir(filepath.Dir(name)) != "." || filepath.Dir(name) == ".") {
		return errDamaged
	}
	return nil
}

// readName reads the name of the file of code alone: whether the entry is whole, Load finds out.
func readName(file string) (string, error) {
	f, err := os.Open(file) //nolint:gosec // below the cache's directory
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	const before = len(magic) + 2*sha256.Size + 2
	start := make([]byte, before+maxName)
	n, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || n < before || string(start[:len(magic)]) != magic {
		return "", errDamaged
	}
	size := int(binary.BigEndian.Uint16(start[before-2:]))
	if before+size > n {
		return "", errDamaged
	}
	name := string(start[before : before+size])
	return name, checkName(name)
}
