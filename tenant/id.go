package tenant

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxIDLength bounds an ID in bytes. A TXT record holds more, a file path does not.
const maxIDLength = 512

// ID names a tenant: the canonical form of the path that its TXT record
// carries, such as "/git/alice" or "/keybase/private/alice,kbwasm". It is
// unique on a platform, because the prefixes of its stores are.
// Only ParseID makes one.
type ID string

// ParseID reads the path of a TXT record. One trailing slash is dropped; all
// else must be canonical already: no empty, "." or ".." element, no element that
// starts with a dot, no control character or backslash. Besides absolute paths
// it takes the forms git repositories are named by, "git@host:path" and
// "https://host/path".
func ParseID(s string) (ID, error) {
	if len(s) > maxIDLength {
		return "", fmt.Errorf("path of %d bytes: at most %d are taken", len(s), maxIDLength)
	}
	if !utf8.ValidString(s) {
		return "", errors.New("path is not UTF-8")
	}
	if i := strings.IndexFunc(s, unsafeRune); i >= 0 {
		return "", fmt.Errorf("path %q has a control character or backslash at byte %d", s, i)
	}
	s = strings.TrimSuffix(s, "/")
	rest, err := afterRoot(s)
	if err != nil {
		return "", err
	}
	for elem := range strings.SplitSeq(rest, "/") {
		switch {
		case elem == "":
			return "", fmt.Errorf("path %q has an empty element", s)
		case elem[0] == '.':
			return "", fmt.Errorf("path %q has the element %q: none may start with a dot", s, elem)
		}
	}
	return ID(s), nil
}

// afterRoot returns what follows the part of s that says where a path starts.
func afterRoot(s string) (string, error) {
	if rest, ok := strings.CutPrefix(s, "/"); ok {
		return rest, nil
	}
	if rest, ok := strings.CutPrefix(s, "https://"); ok {
		return rest, nil
	}
	if rest, ok := strings.CutPrefix(s, "git@"); ok {
		if host, p, ok := strings.Cut(rest, ":"); ok && host != "" && !strings.Contains(host, "/") {
			return p, nil
		}
	}
	return "", fmt.Errorf("path %q starts with neither \"/\", \"git@host:\" nor \"https://\"", s)
}

func unsafeRune(r rune) bool { return unicode.IsControl(r) || r == '\\' || !unicode.IsPrint(r) }

// Name is the last element of the ID, for people: "alice" of "/git/alice".
func (id ID) Name() string { return path.Base(string(id)) }

// Under returns the part of the ID below prefix ("alice" for "/git/alice" under
// "/git/"), and whether the ID is below it at all.
func (id ID) Under(prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(string(id), prefix)
	return rest, ok && rest != ""
}
