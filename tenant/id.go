package tenant

import (
	"errors"
	"fmt"
	"path"
	"strconv"
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

// AnyHTTPS is the start of every ID that is an https URL.
const AnyHTTPS = "https://"

// ParseID reads the path of a TXT record. One trailing slash is dropped; all
// else must be canonical already: no empty, "." or ".." element, no element that
// starts with a dot, no control character, backslash, "%" or "?".
//
// Besides absolute paths it takes two forms of repositories, "git@HOST:PATH" and
// "https://HOST[:PORT]/PATH". What reads them as a URL must find nothing there but
// what a prefix is compared with: HOST is in small letters, PATH has letters, digits
// and "-_.~+,=" alone, and neither a user nor a port hides in either.
func ParseID(s string) (ID, error) {
	if len(s) > maxIDLength {
		return "", fmt.Errorf("path of %d bytes: at most %d are taken", len(s), maxIDLength)
	}
	if !utf8.ValidString(s) {
		return "", errors.New("path is not UTF-8")
	}
	if i := strings.IndexFunc(s, unsafeRune); i >= 0 {
		return "", fmt.Errorf("path %q has a control character, backslash, \"%%\" or \"?\" at byte %d", s, i)
	}
	s = strings.TrimSuffix(s, "/")
	rest, isURL, err := afterRoot(s)
	if err != nil {
		return "", err
	}
	if i := strings.IndexFunc(rest, notInRepository); isURL && i >= 0 {
		r, _ := utf8.DecodeRuneInString(rest[i:])
		return "", fmt.Errorf("path %q has %q in a repository's name: want letters, digits and \"-_.~+,=\"", s, string(r))
	}
	for elem := range strings.SplitSeq(rest, "/") {
		switch {
		case elem == "":
			return "", fmt.Errorf("path %q has an empty element", s)
		case elem[0] == '.':
			return "", fmt.Errorf("path %q has the element %q: none may start with a dot", s, elem)
		case isURL && elem[0] == '-':
			return "", fmt.Errorf("path %q has the element %q: none may start with \"-\"", s, elem)
		}
	}
	return ID(s), nil
}

// afterRoot returns what follows the part of s that says where a path starts.
func afterRoot(s string) (rest string, isURL bool, err error) {
	if rest, ok := strings.CutPrefix(s, "/"); ok {
		return rest, false, nil
	}
	var host string
	var ok bool
	if rest, ok = strings.CutPrefix(s, AnyHTTPS); ok {
		host, rest, ok = strings.Cut(rest, "/")
		if name, port, hasPort := strings.Cut(host, ":"); hasPort {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
				return "", false, fmt.Errorf("path %q has the port %q", s, port)
			}
			host = name
		}
	} else if rest, ok = strings.CutPrefix(s, "git@"); ok {
		host, rest, ok = strings.Cut(rest, ":")
	}
	if !ok {
		return "", false, fmt.Errorf("path %q starts with neither \"/\", \"git@HOST:\" nor \"https://HOST/\"", s)
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return "", false, fmt.Errorf("path %q has the host %q: want small letters, digits, \"-\" and dots", s, host)
		}
	}
	return rest, true, nil
}

func unsafeRune(r rune) bool {
	return unicode.IsControl(r) || !unicode.IsPrint(r) || strings.ContainsRune(`\%?`, r)
}

func notInRepository(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/-_.~+,=", r)
}

// Name is the last element of the ID, for people: "alice" of "/git/alice".
func (id ID) Name() string { return path.Base(string(id)) }

// Under returns the part of the ID below prefix ("alice" for "/git/alice" under
// "/git/"), and whether the ID is below it at all.
func (id ID) Under(prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(string(id), prefix)
	return rest, ok && rest != ""
}

// CheckPrefix refuses what cannot be the start of the IDs of a store's tenants: a path
// such as "/git/" or, of repositories, "https://HOST/", "git@HOST:", either with
// folders, or AnyHTTPS.
func CheckPrefix(prefix string, repositories bool) error {
	if repositories && prefix == AnyHTTPS {
		return nil
	}
	if _, err := ParseID(prefix + "x"); err != nil {
		return err
	}
	whole := strings.HasSuffix(prefix, "/") || repositories && strings.HasSuffix(prefix, ":")
	if !whole || repositories == (prefix[0] == '/') {
		return fmt.Errorf("%q is not the start of whole names", prefix)
	}
	return nil
}
