package fault

import (
	"errors"
	"fmt"
)

// Fault is one value that a constructor refuses.
type Fault struct {
	Key string // relative to the options of the package: "labels[0]"
	Err error  // what is wrong and how to fix it
}

// Error is the key and the problem.
func (f *Fault) Error() string { return f.Key + ": " + f.Err.Error() }

// Unwrap returns the problem.
func (f *Fault) Unwrap() error { return f.Err }

// List collects faults. The zero value is an empty list.
type List struct{ errs []error }

// Add records that the value of key is wrong. The format takes %w.
func (l *List) Add(key, format string, args ...any) {
	l.errs = append(l.errs, &Fault{Key: key, Err: fmt.Errorf(format, args...)})
}

// AddErr records err as a fault of key. A nil err is none.
func (l *List) AddErr(key string, err error) {
	if err != nil {
		l.errs = append(l.errs, &Fault{Key: key, Err: err})
	}
}

// Err joins the faults in the order in which they were added, nil if there are none.
func (l *List) Err() error { return errors.Join(l.errs...) }

// Rename returns err with the keys of its faults changed by rename. A fault whose key
// becomes empty is left out.
func Rename(err error, rename func(key string) string) error {
	faults, rest := Split(err)
	errs := []error{rest}
	for _, f := range faults {
		if key := rename(f.Key); key != "" {
			errs = append(errs, &Fault{Key: key, Err: f.Err})
		}
	}
	return errors.Join(errs...)
}

// Split divides a constructor's error into the faults that it joins and the rest, which
// is nil if there is nothing else.
func Split(err error) (faults []*Fault, rest error) {
	switch e := err.(type) { //nolint:errorlint // what wraps a fault adds words that its key would lose
	case nil:
	case *Fault:
		return []*Fault{e}, nil
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			f, r := Split(one)
			faults, rest = append(faults, f...), errors.Join(rest, r)
		}
	default:
		rest = err
	}
	return faults, rest
}
