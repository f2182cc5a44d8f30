package ctype

import (
	"errors"
	"fmt"
	"strings"
)

// NameKind is what an import or export is by its name.
type NameKind uint8

// The kinds of names.
const (
	NamePlain NameKind = iota
	NameConstructor
	NameMethod
	NameStatic
	NameInterface
)

// Name is the name of an import or export, taken apart.
type Name struct {
	Kind     NameKind
	Resource string // of a constructor, method or static function
	Key      string // two names with the same Key cannot be in one scope
	// Interface is the name of an interface without its version, and Version that.
	Interface, Version string
}

var errName = errors.New("not a valid name")

// ParseName takes the name of an import or export apart.
func ParseName(s string) (Name, error) {
	n, ok := parseName(s)
	if _, _, dependency := strings.Cut(s, "=<"); dependency {
		return n, fmt.Errorf("%q: names of packages and addresses are not supported", s)
	}
	if !ok {
		return n, fmt.Errorf("%q: %w", s, errName)
	}
	return n, nil
}

func parseName(s string) (n Name, ok bool) {
	switch kind, rest, annotated := strings.Cut(s, "]"); {
	case annotated && kind == "[constructor":
		return Name{Kind: NameConstructor, Resource: rest, Key: kind + "]" + strings.ToLower(rest)}, Label(rest)
	case annotated && (kind == "[method" || kind == "[static"):
		resource, member, dot := strings.Cut(rest, ".")
		n = Name{Kind: NameMethod, Resource: resource, Key: strings.ToLower(rest)}
		if kind == "[static" {
			n.Kind = NameStatic
		}
		if strings.EqualFold(resource, member) {
			n.Key = strings.ToLower(resource)
		}
		return n, dot && Label(resource) && Label(member)
	}
	if !strings.ContainsAny(s, ":/") {
		return Name{Key: strings.ToLower(s)}, Label(s)
	}
	n = Name{Kind: NameInterface, Key: s}
	var versioned bool
	n.Interface, n.Version, versioned = strings.Cut(s, "@")
	pkg, face, slash := strings.Cut(n.Interface, "/")
	space, name, colon := strings.Cut(pkg, ":")
	return n, slash && colon && lowerLabel(space) && lowerLabel(name) && Label(face) && (!versioned || semver(n.Version))
}

// Label reports whether s is a label in kebab case.
func Label(s string) bool {
	for i, word := range strings.Split(s, "-") {
		if word == "" || i == 0 && '0' <= word[0] && word[0] <= '9' {
			return false
		}
		lower, upper := false, false
		for _, c := range []byte(word) {
			switch {
			case 'a' <= c && c <= 'z':
				lower = true
			case 'A' <= c && c <= 'Z':
				upper = true
			case c < '0' || '9' < c:
				return false
			}
		}
		if lower && upper {
			return false
		}
	}
	return true
}

func lowerLabel(s string) bool { return Label(s) && s == strings.ToLower(s) }

// semver reports whether s is a version as semver.org has it.
func semver(s string) bool {
	s, build, hasBuild := strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(s, "-")
	numbers := strings.Split(core, ".")
	ok := len(numbers) == 3 && (!hasBuild || identifiers(build, false)) && (!hasPre || identifiers(pre, true))
	for _, n := range numbers {
		ok = ok && number(n)
	}
	return ok
}

func identifiers(s string, numeric bool) bool {
	for id := range strings.SplitSeq(s, ".") {
		digits := id != ""
		for _, c := range []byte(id) {
			isDigit := '0' <= c && c <= '9'
			if !isDigit && c != '-' && (c|0x20 < 'a' || 'z' < c|0x20) {
				return false
			}
			digits = digits && isDigit
		}
		if id == "" || numeric && digits && !number(id) {
			return false
		}
	}
	return true
}

// number reports whether s is a decimal number without leading zeros that fits in 64 bits.
func number(s string) bool {
	if s == "" || len(s) > 1 && s[0] == '0' || len(s) > 19 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}
