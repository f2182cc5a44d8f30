package config

import (
	"os"
	"strings"
)

// Secret is a value that never shows in logs and errors. In the file it is the
// value itself, "file:PATH" or "env:NAME".
type Secret string

// String hides the value.
func (Secret) String() string { return "(secret)" }

// GoString hides the value.
func (Secret) GoString() string { return "(secret)" }

// secret replaces a reference by what it refers to.
func (c *Config) secret(key string, s *Secret) {
	ref := string(*s)
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		v := os.Getenv(name)
		if v == "" {
			c.doc.Unreadable(key, "the environment variable %s is not set", name)
		}
		*s = Secret(v)
		return
	}
	name, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return
	}
	c.relative(&name)
	data, err := readFile(name)
	if err != nil {
		c.doc.Unreadable(key, "%v", err)
		return
	}
	v := strings.TrimRight(strings.TrimPrefix(string(data), "\ufeff"), "\r\n") // without an editor's byte order mark
	if v == "" {
		c.doc.Unreadable(key, "%s is empty", name)
	}
	*s = Secret(v)
}
