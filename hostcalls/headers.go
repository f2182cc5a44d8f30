package hostcalls

import (
	"net/http"
	"slices"

	"github.com/terrane/terrane/hostcalls/field"
	"github.com/terrane/terrane/hostcalls/guestmem"
)

// setHeader replaces the values of a name in h by those of list. It reports
// whether they are valid; if they are not, or cannot be read, h is as it was.
func (x *Exchange) setHeader(h http.Header, refused *refusals, name []byte, values guestmem.List) (bool, error) {
	var buf [field.MaxName]byte
	key, valid := field.Canonical(&buf, name)
	if !valid {
		return x.refuse(refused, string(name[:min(len(name), field.MaxName)]), "%.80q is not a name of a header", name), nil
	}
	start, spent, wrong := len(x.values), 0, ""
	if values.Len() > guestmem.MaxList {
		wrong = "has too many values"
	}
	var err error
	for wrong == "" && err == nil && values.Len() > 0 {
		var v []byte
		v, err = values.Next()
		spent += len(key) + len(v) + field.Cost
		switch {
		case spent+x.spent > field.MaxBytes:
			wrong = "exceeds the limit on the request's headers"
		case !field.ValidValue(v):
			wrong = "has a control character in its value"
		default:
			x.values = append(x.values, string(v))
		}
	}
	if err != nil || wrong != "" {
		x.values = x.values[:start]
		return err == nil && x.refuse(refused, string(key), "the header %.80s %s", string(key), wrong), err
	}
	x.spent += max(spent, len(key))
	if len(*refused) > 0 {
		refused.accept(string(key))
	}
	switch set := x.values[start:len(x.values):len(x.values)]; {
	case field.HostOwned(key):
		x.values = x.values[:start]
	case len(set) == 0:
		delete(h, string(key))
	default:
		h[field.Intern(key)] = set
	}
	return true, nil
}

// names lists the names of h in order.
func (x *Exchange) names(h http.Header) []string {
	x.list = x.list[:0]
	for name := range h {
		x.list = append(x.list, name)
	}
	return sorted(x.list)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
