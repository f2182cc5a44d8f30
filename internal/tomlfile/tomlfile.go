package tomlfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/terrane/terrane/internal/fault"
)

// Error is one thing wrong in a file. Its Key is empty for a fault of syntax.
type Error struct {
	File string
	Line int // from 1
	fault.Fault
}

// Error is the fault in one line: file:line: key: problem.
func (e *Error) Error() string {
	if e.Key == "" {
		return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Fault.Error())
}

// Doc is a file that was read: it knows where each key stands. The zero value is
// an empty file without a name.
type Doc struct {
	file   string
	lines  map[string]int
	faults []*Error
	unread map[string]bool // keys whose value could not be read
}

// Decode reads data into the struct that v points to. Fields are matched by
// their `toml` tag, those without one are not for the file. Types are those of
// TOML, nested structs, slices and maps of them, and what implements
// encoding.TextUnmarshaler from a string or integer. A value of a wrong type, a key the
// struct has not, a duplicate: each is an *Error of the joined error. name stands in
// the faults. The Doc is never nil; it is for faults that only the caller can see.
func Decode(name string, data []byte, v any) (*Doc, error) {
	d := &Doc{file: name, lines: map[string]int{}}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // an editor's byte order mark
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		d.syntax(err)
		return d, d.Err()
	}
	d.lines = keyLines(data)
	d.table("", tree, reflect.ValueOf(v).Elem())
	return d, d.Err()
}

func (d *Doc) syntax(err error) {
	line := 1
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ = de.Position()
	}
	d.add(line, "", errors.New(strings.TrimPrefix(err.Error(), "toml: ")))
}

// Fault records that the value of key is wrong. The line is that of the key or,
// if the file has no such key, of the nearest table around it. If the value could not be
// read, or that of a table or list around it, this is known already and nothing is recorded.
func (d *Doc) Fault(key, format string, args ...any) {
	if !d.isUnread(key) {
		d.add(d.line(key), key, fmt.Errorf(format, args...))
	}
}

// Unreadable is Fault for a value that is unknown: later faults of the key, and of what is
// below it, are not recorded, as they would only follow from this one.
func (d *Doc) Unreadable(key, format string, args ...any) {
	d.Fault(key, format, args...)
	if d.unread == nil {
		d.unread = map[string]bool{}
	}
	d.unread[key] = true
}

// Faults records the faults that err joins (package fault), whose keys are below prefix, and
// returns the rest of err. A key that had a fault before gets no second one.
func (d *Doc) Faults(prefix string, err error) (rest error) {
	faults, rest := fault.Split(err)
	before := d.faults
	for _, f := range faults {
		key := join(prefix, f.Key)
		if !slices.ContainsFunc(before, func(e *Error) bool { return e.Key == key }) {
			d.Fault(key, "%w", f.Err)
		}
	}
	return rest
}

func (d *Doc) add(line int, key string, problem error) {
	d.faults = append(d.faults, &Error{File: d.file, Line: line, Fault: fault.Fault{Key: key, Err: problem}})
}

func (d *Doc) isUnread(key string) bool {
	for ; key != ""; key = parent(key) {
		if d.unread[key] {
			return true
		}
	}
	return false
}

// parent is the key of the table or list around what key names, empty if there is none.
func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// Has reports whether the file sets key.
func (d *Doc) Has(key string) bool {
	_, ok := d.lines[key]
	return ok
}

// Err joins all faults so far in the order of their lines, nil if there are none.
func (d *Doc) Err() error {
	slices.SortStableFunc(d.faults, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(d.faults))
	for i, f := range d.faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

func (d *Doc) line(key string) int {
	for ; key != ""; key = parent(key) {
		if n, ok := d.lines[key]; ok {
			return n
		}
	}
	return 1
}
