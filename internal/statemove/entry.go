package statemove

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/tenant"
)

// maxLine bounds a line in bytes: a value whose every byte is escaped.
const maxLine = 8 << 20

// Key is a key of a tenant's state as JSON: what is not UTF-8 is in base64.
type Key struct {
	Key      *string `json:"key,omitempty"`
	KeyBytes []byte  `json:"key_base64,omitempty"`
}

// Entry is an entry likewise.
type Entry struct {
	Key
	Value      *string    `json:"value,omitempty"`
	ValueBytes []byte     `json:"value_base64,omitempty"`
	Version    uint64     `json:"version"`
	Expires    *time.Time `json:"expires,omitempty"`
}

// Line is a line of an export: an entry, or the last line, which says how many there are or
// why there are not all.
type Line struct {
	Tenant tenant.ID `json:"tenant,omitempty"`
	Entry
	Entries *int64 `json:"entries,omitempty"`
	Error   string `json:"error,omitempty"`
}

// InputError is of what was given to Import.
type InputError struct{ error }

// Unwrap returns the cause.
func (e InputError) Unwrap() error { return e.error }

// NewKey returns the JSON of a key.
func NewKey(key string) (k Key) {
	k.Key, k.KeyBytes = textOrBytes([]byte(key))
	return k
}

// NewEntry returns the JSON of an entry; one with a nil value has none.
func NewEntry(key string, e hostcalls.KVEntry) Entry {
	out := Entry{Key: NewKey(key), Version: e.Version}
	if e.Value != nil {
		out.Value, out.ValueBytes = textOrBytes(e.Value)
	}
	if !e.Expires.IsZero() {
		out.Expires = &e.Expires
	}
	return out
}

func textOrBytes(b []byte) (*string, []byte) {
	if !utf8.Valid(b) {
		return nil, b
	}
	text := string(b)
	return &text, nil
}

// Text is the key, as the store has it.
func (k *Key) Text() string {
	if k.Key != nil {
		return *k.Key
	}
	return string(k.KeyBytes)
}

// Bytes is what the entry holds.
func (e *Entry) Bytes() []byte {
	if e.Value != nil {
		return []byte(*e.Value)
	}
	return e.ValueBytes
}

// Read reads the lines of an export, and returns the last, or an InputError.
func Read(r io.Reader, each func(*Line) error) (end *Line, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var m Line
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, InputError{fmt.Errorf("line %d is of no export: %w", n, err)}
		}
		switch {
		case m.Error != "":
			return nil, InputError{fmt.Errorf("the export failed: %s", m.Error)}
		case m.Entries != nil:
			return &m, nil
		}
		if _, err := tenant.ParseID(string(m.Tenant)); err != nil {
			return nil, InputError{fmt.Errorf("line %d: tenant: %w", n, err)}
		}
		if err := each(&m); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, InputError{err}
	}
	return nil, InputError{errors.New("it is cut short: its last line is missing")}
}
