// Package examples holds guests to start from, and the libraries they use, for
// `terrane new`. README.md lists them; the folders that are not embedded are to be
// read, built and served where they stand.
package examples

import "embed"

// Templates has a folder hello-LANGUAGE for each language, and sdk/LANGUAGE, the
// library that the guest's Makefile looks for in the folder sdk beside it.
//
//go:embed hello-rust hello-c hello-wat hello-assemblyscript sdk
//go:embed hello-js/*.js hello-js/*.mjs hello-js/package.json hello-js/README.md hello-js/.gitignore hello-js/wit
//go:embed hello-go/*.go hello-go/Makefile hello-go/README.md
var Templates embed.FS
