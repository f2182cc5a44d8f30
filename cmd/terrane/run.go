package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/trial"
)

type runFlags struct {
	config, method, path, body, files string

	headers, env []string
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE.wasm",
		Short: "Send one request to one module, without a server",
		Long: `Send one request to one module, under the limits of --config, else the default
ones. Status line, headers and what the module logs go to standard error, the body
of the response to standard output. The module may reach private addresses.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := optionalConfig(f.config)
			if err != nil {
				return err
			}
			req, err := f.request(args[0], cfg)
			if err != nil {
				return usageError{cmd.CommandPath(), err}
			}
			around, err := f.surroundings(cmd.ErrOrStderr())
			if err != nil {
				return usageError{cmd.CommandPath(), err}
			}
			wasm, err := readBounded(args[0], trial.MaxModule)
			if err != nil {
				return err
			}
			resp, err := trial.Run(cmd.Context(), wasm, cfg, around, req)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return printResponse(resp, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration of the edge whose limits hold")
	cmd.Flags().StringVarP(&f.method, "method", "X", "", "method (default GET, or POST with --body)")
	cmd.Flags().StringVar(&f.path, "path", "/", "path, with ?query")
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "header \"Name: value\"; repeatable")
	cmd.Flags().StringVar(&f.body, "body", "", "file with the request's body; - for standard input")
	cmd.Flags().StringVar(&f.files, "files", "", "folder that a WASI program finds at /")
	cmd.Flags().StringArrayVar(&f.env, "env", nil, "NAME=VALUE, as in the manifest's [env]; repeatable")
	return cmd
}

func (f *runFlags) request(module string, cfg *config.Config) (*trial.Request, error) {
	req := &trial.Request{Module: filepath.Base(module), Method: f.method, Path: f.path, Host: "run.localhost", Header: http.Header{}}
	if !strings.HasPrefix(f.path, "/") {
		return nil, fmt.Errorf("--path %q: want it to start with \"/\"", f.path)
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("--header %q: want \"Name: value\"", h)
		}
		if strings.EqualFold(name, "host") {
			req.Host = strings.TrimSpace(value)
			continue
		}
		req.Header.Add(name, strings.TrimSpace(value))
	}
	if f.body != "" {
		var err error
		if req.Body, err = readBounded(f.body, int64(cfg.Limits.RequestBody)); err != nil {
			return nil, fmt.Errorf("--body: %w", err)
		}
	}
	if req.Method == "" {
		req.Method = http.MethodGet
		if f.body != "" {
			req.Method = http.MethodPost
		}
	}
	return req, nil
}

func (f *runFlags) surroundings(stderr io.Writer) (trial.Surroundings, error) {
	s := trial.Surroundings{Env: map[string]string{}, Log: func(level slog.Level, text string) {
		_, _ = fmt.Fprintf(stderr, "log %s: %s\n", strings.ToLower(level.String()), text)
	}}
	if f.files != "" {
		root, err := os.OpenRoot(f.files) // open as long as the process
		if err != nil {
			return s, fmt.Errorf("--files: %w", err)
		}
		s.Files = root.FS()
	}
	for _, e := range f.env {
		name, value, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return s, fmt.Errorf("--env %q: want NAME=VALUE", e)
		}
		s.Env[name] = value
	}
	return s, nil
}

func printResponse(r *trial.Response, stdout, stderr io.Writer) error {
	_, _ = fmt.Fprintf(stderr, "%d %s\n", r.Code, http.StatusText(r.Code)) // a full stderr changes nothing
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range r.Header[name] {
			_, _ = fmt.Fprintf(stderr, "%s: %s\n", name, value)
		}
	}
	_, err := stdout.Write(r.Body)
	return err
}
