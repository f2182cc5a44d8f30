package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/tenant"
)

// logFlags say how a command logs.
type logFlags struct {
	level  slog.Level
	format string
}

func (f *logFlags) register(cmd *cobra.Command, format string) {
	cmd.Flags().TextVar(&f.level, "log-level", slog.LevelInfo, "least level that is logged: debug, info, warn, error")
	cmd.Flags().StringVar(&f.format, "log-format", format, "text or json")
}

func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: f.level}
	switch f.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: want text or json", f.format)
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "/etc/terrane/terrane.toml", "the edge's configuration")
	_ = cmd.MarkFlagFilename("config", "toml") // fails only for an unknown flag
}

// tenantQuery begins the query of what is asked about a tenant.
func tenantQuery(cmd *cobra.Command, arg string) (url.Values, error) {
	id, err := tenant.ParseIDOrPreview(arg)
	if err != nil {
		return nil, usageError{cmd.CommandPath(), err}
	}
	return url.Values{"tenant": {string(id)}}, nil
}
