package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/examples"
)

// newMakefile builds a new tenant's module beside the folder of its source. An edge
// never sees half a module, as it is renamed into place.
const newMakefile = `MODULE := hello.wasm
SDK    := sdk

../index.wasm: $(MODULE)
	cp $< ../.index.wasm
	mv ../.index.wasm $@

include $(SDK)/%s/rules.mk
`

func newSubcommand() *cobra.Command {
	languages := templateLanguages()
	return &cobra.Command{
		Use:   "new LANG NAME",
		Short: "Make a tenant's folder with a guest to start from",
		Long: fmt.Sprintf(`Make a tenant's folder with a guest to start from, in %s.

NAME/index.wasm answers at once with "terrane dev"; in Go and JavaScript it must be
built first. The source and the library it uses lie in NAME/.src, which is never
served; "make -C NAME/.src" builds the module.`, strings.Join(languages, ", ")),
		Args:      usage(cobra.ExactArgs(2)),
		ValidArgs: languages,
		RunE: func(cmd *cobra.Command, args []string) error {
			lang, dir := args[0], args[1]
			if !slices.Contains(languages, lang) {
				return usageError{cmd.CommandPath(), fmt.Errorf("%q: want one of %s", lang, strings.Join(languages, ", "))}
			}
			if err := newFolder(dir, lang); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			return printNew(cmd.OutOrStdout(), dir)
		},
	}
}

// templateLanguages are those that examples.Templates has a guest in.
func templateLanguages() []string {
	dirs, err := fs.Glob(examples.Templates, "hello-*")
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i, dir := range dirs {
		dirs[i] = strings.TrimPrefix(dir, "hello-")
	}
	return dirs
}

// newFolder makes dir, which must be empty or not exist yet.
func newFolder(dir, lang string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return errors.New("the folder is not empty: want the name of a new one")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	src := filepath.Join(dir, ".src")
	for from, to := range map[string]string{"hello-" + lang: src, path.Join("sdk", lang): filepath.Join(src, "sdk", lang)} {
		files, err := fs.Sub(examples.Templates, from)
		if err != nil {
			return err
		}
		if err := os.CopyFS(to, files); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(src, "Makefile"), fmt.Appendf(nil, newMakefile, lang), 0o600); err != nil {
		return err
	}
	err = os.Rename(filepath.Join(src, "hello.wasm"), filepath.Join(dir, "index.wasm"))
	if errors.Is(err, fs.ErrNotExist) { // too large to be embedded
		return nil
	}
	return err
}

// printNew says what is there and what comes next.
func printNew(w io.Writer, dir string) error {
	src := filepath.Join(dir, ".src")
	sources, err := filepath.Glob(filepath.Join(src, "hello.*"))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "edit:    %s\nbuild:   make -C %s\ntry it:  terrane dev %s\n",
		strings.Join(sources, " "), src, filepath.Dir(dir))
	return err
}
