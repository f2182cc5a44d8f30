package hostcalls

import (
	"errors"
	"slices"
)

// refusals are the parts of a message that the guest set and the host refused, with the
// reason. Libraries ignore the status of such calls, so that the host must not send the
// message: it would lack these parts. A part that is then set to something valid is no
// longer refused.
type refusals map[string]string

// The parts other than header fields, which go by their names.
const (
	partBody   = "body"
	partCode   = "code"
	partStdout = "stdout"
)

// maxRefusals bounds what a guest can make the host remember of one message.
const maxRefusals = 16

// note remembers the reason why a part was refused.
func (r *refusals) note(part, reason string) {
	if *r == nil {
		*r = make(refusals)
	}
	if len(*r) == maxRefusals {
		part = "" // no later call takes it back
	}
	(*r)[part] = reason
}

// err is one of the reasons, nil if nothing is refused.
func (r refusals) err() error {
	if len(r) == 0 {
		return nil
	}
	parts := make([]string, 0, len(r))
	for part := range r {
		parts = append(parts, part)
	}
	return errors.New(r[slices.Min(parts)])
}

// refuse notes that a part of a message is not as the guest wants it.
func (x *Exchange) refuse(r *refusals, part, format string, a ...any) bool {
	x.fail(format, a...)
	r.note(part, x.reason)
	return false
}

// accept notes that the guest has set a part of a message.
func (r refusals) accept(part string) {
	if len(r) > 0 {
		delete(r, part)
	}
}
