package tenant

import (
	"fmt"
	"strings"
)

// Subject names what a message is about: tokens with dots between them, such as
// "orders.created". In a Subscription the token "*" stands for any one token, and
// ">", as the last, for one or more.
type Subject string

// maxSubject bounds a subject in bytes.
const maxSubject = 200

// ParseSubject reads a subject; wildcards says whether it may have some. Tokens are
// letters, digits, "-" and "_".
func ParseSubject(s string, wildcards bool) (Subject, error) {
	if len(s) > maxSubject {
		return "", fmt.Errorf("a subject of %d bytes: it may have %d", len(s), maxSubject)
	}
	rest := s
	for more := true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		switch {
		case wildcards && (token == "*" || token == ">" && !more):
		case token == "" || strings.ContainsFunc(token, notInToken):
			return "", fmt.Errorf(`subject %q: want tokens of letters, digits, "-" and "_", with dots between them`, s)
		}
	}
	return Subject(s), nil
}

func notInToken(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", r)
}

// Matches reports whether a subject without wildcards is one of those that s stands for.
func (s Subject) Matches(subject Subject) bool {
	pattern, rest := string(s), string(subject)
	for {
		want, patternRest, patternMore := strings.Cut(pattern, ".")
		got, subjectRest, subjectMore := strings.Cut(rest, ".")
		if want == ">" {
			return true
		}
		if want != "*" && want != got || patternMore != subjectMore {
			return false
		}
		if !patternMore {
			return true
		}
		pattern, rest = patternRest, subjectRest
	}
}
