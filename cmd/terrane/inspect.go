package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/edge/trial"
	"github.com/terrane/terrane/internal/engine"
)

func inspectCommand() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect FILE.wasm",
		Short: "Show what a module imports and exports, and whether an edge would run it",
		Long: `Show what a module imports and exports, which ABI it speaks, and whether an edge
would run it: the edge of --config, else one with the default limits. The exit
status is 1 if it would not.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := optionalConfig(file)
			if err != nil {
				return err
			}
			wasm, err := readBounded(args[0], trial.MaxModule)
			if err != nil {
				return err
			}
			in, err := trial.Inspect(cmd.Context(), args[0], wasm, cfg)
			if err != nil {
				return err
			}
			if err := printInspection(cmd.OutOrStdout(), in, asJSON); err != nil {
				return err
			}
			if !in.Runs {
				return fmt.Errorf("%s: an edge would refuse this module", in.File)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration of the edge that is asked")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printInspection(w io.Writer, in *trial.Inspection, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false) // "->" stands in types
		return enc.Encode(in)
	}
	line, end := newTable(w)
	row := func(label, format string, args ...any) { line("%s\t%s", label, fmt.Sprintf(format, args...)) }
	row("file", "%s", in.File)
	if in.Info != nil {
		printInfo(row, in.Info)
	}
	for _, f := range in.Faults {
		row("refused", "%s", f)
	}
	if in.Runs {
		row("verdict", "an edge would run it, on %s", in.Engine)
	}
	return end()
}

func printInfo(row func(label, format string, args ...any), in *engine.Info) {
	row("size", "%d bytes", in.Size)
	if w := in.World; w != nil {
		row("component", "imports %s", orNone(strings.Join(w.Imports, ", ")))
		row("", "exports %s", orNone(strings.Join(w.Exports, ", ")))
	}
	row("speaks", "%s", orNone(strings.Join(in.Dialects, ", ")))
	row("entry", "%s", orNone(in.Entry))
	if m := in.Memory; m != nil {
		bounds := fmt.Sprintf("at least %d KiB", m.Min*(engine.PageSize>>10))
		if m.Max != nil {
			bounds += fmt.Sprintf(", at most %d KiB", uint64(*m.Max)*(engine.PageSize>>10))
		}
		row("memory", "%s", bounds)
	}
	if in.Fresh == "" {
		row("instances", "recycled: all that a request changes is put back")
	} else {
		row("instances", "new for each request, for this cannot be put back: %s", in.Fresh)
	}
	if in.World != nil {
		return // the functions are those of its interfaces
	}
	for _, im := range in.Imports {
		row("import", "%s.%s %s", im.Module, im.Name, strings.TrimSpace(im.Kind+" "+im.Type))
	}
	for _, ex := range in.Exports {
		row("export", "%s %s", ex.Name, strings.TrimSpace(ex.Kind+" "+ex.Type))
	}
}
