package hostcalls

import "strings"

// Canonical returns the module and name under which Functions of an import are listed that a
// fused component calls by this module and name. Versions 0.2.z of an interface are one: each
// serves components that were made for any other. A name's suffix says how strings are
// encoded. Imports of other modules are as they are.
func Canonical(module, name string) (canonicalModule, canonicalName string) {
	if !strings.Contains(module, ":") {
		return module, name
	}
	if at := strings.LastIndexByte(module, '@'); at >= 0 && stable02(module[at+1:]) {
		module = module[:at+1] + "0.2"
	}
	for _, encoding := range [...]string{"|utf16", "|latin1+utf16"} {
		if base, ok := strings.CutSuffix(name, encoding); ok {
			return module + encoding, base
		}
	}
	return module, name
}

// stable02 reports whether a version is 0.2 or 0.2.z, with or without build metadata. One with a
// pre-release is compatible with nothing else.
func stable02(version string) bool {
	version, _, _ = strings.Cut(version, "+")
	patch, ok := strings.CutPrefix(version, "0.2")
	if !ok {
		return false
	}
	return patch == "" || len(patch) > 1 && patch[0] == '.' && strings.Trim(patch[1:], "0123456789") == ""
}
