package tomlfile

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Fault is one thing wrong in a file.
type Fault struct {
	File    string
	Line    int    // from 1
	Key     string // "bgp.neighbor[0].asn"; empty for a fault of syntax
	Problem string // what is wrong and how to mend it
}

// Error is the fault in one line: file:line: key: problem.
func (f *Fault) Error() string {
	if f.Key == "" {
		return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Problem)
	}
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Key, f.Problem)
}

// Doc is a file that was read: it knows where each key stands. The zero value is
// an empty file without a name.
type Doc struct {
	file   string
	lines  map[string]int
	faults []*Fault
}

// Decode reads data into the struct that v points to. Fields are matched by
// their `toml` tag, those without one are not for the file. Types are those of
// TOML, nested structs, slices and maps of them, and what implements
// encoding.TextUnmarshaler from a string or integer. A value of a wrong type, a key the
// struct has not, a duplicate: each is a *Fault of the joined error. name stands in
// the faults. The Doc is never nil; it is for faults that only the caller can see.
func Decode(name string, data []byte, v any) (*Doc, error) {
	d := &Doc{file: name, lines: map[string]int{}}
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
	f := &Fault{File: d.file, Line: 1, Problem: strings.TrimPrefix(err.Error(), "toml: ")}
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		f.Line, _ = de.Position()
	}
	d.faults = append(d.faults, f)
}

// Fault records that the value of key is wrong. The line is that of the key or,
// if the file has no such key, of the nearest table around it.
func (d *Doc) Fault(key, format string, args ...any) {
	d.faults = append(d.faults, &Fault{
		File: d.file, Line: d.line(key), Key: key, Problem: fmt.Sprintf(format, args...),
	})
}

// Has reports whether the file sets key.
func (d *Doc) Has(key string) bool {
	_, ok := d.lines[key]
	return ok
}

// Err joins all faults so far in the order of their lines, nil if there are none.
func (d *Doc) Err() error {
	slices.SortStableFunc(d.faults, func(a, b *Fault) int { return cmp.Compare(a.Line, b.Line) })
	errs := make([]error, len(d.faults))
	for i, f := range d.faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

func (d *Doc) line(key string) int {
	for key != "" {
		if n, ok := d.lines[key]; ok {
			return n
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	return 1
}
