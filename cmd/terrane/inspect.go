package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/engine"
)

// maxModule bounds a module read from the command line, in bytes.
const maxModule = 256 << 20

// inspection is what inspect prints.
type inspection struct {
	File   string `json:"file"`
	Engine string `json:"engine"` // of the edge that is asked
	*engine.Info
	Runs   bool     `json:"runs"`
	Faults []string `json:"faults,omitempty"` // why it does not
}

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
			in, err := inspect(cmd.Context(), args[0], cfg)
			if err != nil {
				return err
			}
			if err := in.print(cmd.OutOrStdout(), asJSON); err != nil {
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

// optionalConfig is the configuration in file, or the default if there is no file.
func optionalConfig(file string) (*config.Config, error) {
	if file == "" {
		return config.Default(), nil
	}
	return config.Load(file)
}

func inspect(ctx context.Context, name string, cfg *config.Config) (*inspection, error) {
	wasm, err := readBounded(name, maxModule)
	if err != nil {
		return nil, err
	}
	in := &inspection{File: name, Engine: cfg.Engine.Name}
	if in.Info, err = engine.Inspect(wasm); err != nil {
		in.refuse(err)
		return in, nil
	}
	if err := checkSize(wasm, cfg); err != nil {
		in.refuse(err)
	}
	eng, err := edge.NewEngine(cfg.Engine, edge.EngineOptions{}) //nolint:contextcheck // starts nothing
	if err != nil {
		return nil, err
	}
	mod, err := eng.Compile(ctx, wasm, engineLimits(cfg))
	switch {
	case errors.Is(err, engine.ErrRefused):
		in.refuse(err)
		err = nil
	case err != nil:
		return nil, errors.Join(err, eng.Close(ctx))
	default:
		err = mod.Close(ctx)
	}
	in.Runs = len(in.Faults) == 0
	return in, errors.Join(err, eng.Close(ctx))
}

// checkSize refuses a module that is larger than modules may be.
func checkSize(wasm []byte, cfg *config.Config) error {
	if most := int64(cfg.Limits.ModuleSize); int64(len(wasm)) > most {
		return fmt.Errorf("the module has %d bytes, the limit is %d", len(wasm), most)
	}
	return nil
}

func (in *inspection) refuse(err error) {
	in.Faults = append(in.Faults, strings.Split(err.Error(), "\n")...)
}

func engineLimits(cfg *config.Config) engine.Limits {
	l := edge.Limits(&cfg.Limits)
	return engine.Limits{Memory: l.Memory, CPU: l.CPU}
}

func (in *inspection) print(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false) // "->" stands in types
		return enc.Encode(in)
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(label, format string, args ...any) {
		_, _ = fmt.Fprintf(tw, "%s\t%s\n", label, fmt.Sprintf(format, args...)) // Flush returns what fails
	}
	row("file", "%s", in.File)
	if in.Info != nil {
		in.rows(row)
	}
	for _, f := range in.Faults {
		row("refused", "%s", f)
	}
	if in.Runs {
		row("verdict", "an edge would run it, on %s", in.Engine)
	}
	return tw.Flush()
}

func (in *inspection) rows(row func(label, format string, args ...any)) {
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
	for _, im := range in.Imports {
		row("import", "%s.%s %s", im.Module, im.Name, strings.TrimSpace(im.Kind+" "+im.Type))
	}
	for _, ex := range in.Exports {
		row("export", "%s %s", ex.Name, strings.TrimSpace(ex.Kind+" "+ex.Type))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// readBounded reads a file, or standard input if it is "-", of at most most bytes.
func readBounded(name string, most int64) ([]byte, error) {
	f := os.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil { //nolint:gosec // the user names it
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s: more than %d bytes", name, most)
	}
	return data, nil
}
