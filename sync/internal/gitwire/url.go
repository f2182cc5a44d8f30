package gitwire

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// CheckURL returns why nothing can be fetched from an origin's URL, without its credentials.
func CheckURL(origin string) error {
	if origin == "" {
		return errors.New("want the repository's URL, such as \"https://git.example.net/tenants.git\"")
	}
	if host, path, ok := strings.Cut(origin, ":"); ok && !strings.Contains(origin, "://") && strings.Contains(host, "@") && path != "" {
		return nil // git@host:path
	}
	u, err := url.Parse(origin)
	isFile := err == nil && u.Scheme == "file"
	if err != nil || !slices.Contains([]string{"https", "http", "ssh", "file"}, u.Scheme) || !strings.Contains(origin, "://") ||
		u.Path == "" || isFile != (u.Host == "") {
		return fmt.Errorf("%q: want an https, http, ssh or file URL (file:///PATH), git@host:path, or a path", Redact(origin))
	}
	return nil
}

// Redact removes the user and the password from a URL. Of one that does not parse it
// removes all that could be them.
func Redact(origin string) string {
	u, err := url.Parse(origin)
	if err == nil && u.User == nil {
		return origin
	}
	if err == nil {
		u.User = nil
		return u.String()
	}
	scheme, rest, ok := strings.Cut(origin, "://")
	if !ok {
		return origin
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}
