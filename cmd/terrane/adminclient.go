package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/config"
)

// adminFlags lead to the admin listener of a running edge.
type adminFlags struct{ url, config string }

func (f *adminFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "admin", "", "URL of the admin listener (default http://127.0.0.1:9180)")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "configuration of the edge, instead of --admin; "+
		"without it the token is that of $TERRANE_ADMIN_TOKEN")
}

// get asks the admin listener. The caller closes the body.
func (f *adminFlags) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	return f.do(ctx, http.MethodGet, path, query, http.NoBody)
}

// show prints what the admin listener answers, as it is.
func (f *adminFlags) show(cmd *cobra.Command, path string, query url.Values) error {
	body, err := f.get(cmd.Context(), path, query)
	if err != nil {
		return err
	}
	_, err = io.Copy(cmd.OutOrStdout(), body)
	return errors.Join(err, body.Close())
}

// post makes the edge do something, and returns when it has.
func (f *adminFlags) post(ctx context.Context, path string, query url.Values) error {
	body, err := f.do(ctx, http.MethodPost, path, query, http.NoBody)
	if err != nil {
		return err
	}
	return body.Close()
}

func (f *adminFlags) do(ctx context.Context, method, path string, query url.Values, send io.Reader) (io.ReadCloser, error) {
	base, token, err := f.where()
	if err != nil {
		return nil, err
	}
	return askAdmin(ctx, base, token, method, path+"?"+query.Encode(), send)
}

func askAdmin(ctx context.Context, base, token, method, path string, send io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, base+path, send)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no edge answers at %s (name another with --admin or --config): %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, errors.Join(fmt.Errorf("%s: %s: %s", base, resp.Status, strings.TrimSpace(string(text))), err, resp.Body.Close())
	}
	return resp.Body, nil
}

func (f *adminFlags) where() (base, token string, err error) {
	switch {
	case f.url != "" && f.config != "":
		return "", "", usageError{"terrane", errors.New("want one of --admin and --config")}
	case f.config != "":
		cfg, err := config.Load(f.config)
		if err != nil {
			return "", "", err
		}
		if cfg.Admin.Listen == "" {
			return "", "", fmt.Errorf("%s: the edge has no admin listener (admin.listen)", f.config)
		}
		return admin.URL(cfg.Admin.Listen), string(cfg.Admin.Token), nil
	}
	base = strings.TrimSuffix(f.url, "/")
	if base == "" {
		base = admin.URL(config.Default().Admin.Listen)
	}
	return base, os.Getenv("TERRANE_ADMIN_TOKEN"), nil
}
