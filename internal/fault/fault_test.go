package fault

import (
	"errors"
	"io"
	"io/fs"
	"testing"
)

func TestSplit(t *testing.T) {
	var l, inner List
	if l.Err() != nil {
		t.Errorf("an empty list is %v", l.Err())
	}
	l.Add("asn", "%d: want an AS number", 0)
	l.AddErr("roots", nil)
	inner.AddErr("key", fs.ErrNotExist)
	err := errors.Join(l.Err(), io.EOF, inner.Err(), io.ErrClosedPipe)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("a fault hides its cause")
	}
	faults, rest := Split(err)
	if len(faults) != 2 || faults[0].Error() != "asn: 0: want an AS number" || faults[1].Key != "key" {
		t.Errorf("faults %v", faults)
	}
	if !errors.Is(rest, io.EOF) || !errors.Is(rest, io.ErrClosedPipe) || errors.Is(rest, fs.ErrNotExist) {
		t.Errorf("rest %v", rest)
	}
	renamed := Rename(err, func(key string) string { return map[string]string{"asn": "as"}[key] })
	if faults, rest := Split(renamed); len(faults) != 1 || faults[0].Key != "as" || !errors.Is(rest, io.EOF) {
		t.Errorf("renamed: %v", renamed)
	}
	if faults, rest := Split(nil); faults != nil || rest != nil {
		t.Errorf("of nil: %v, %v", faults, rest)
	}
}
