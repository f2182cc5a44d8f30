package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/edge/dev"
)

type devFlags struct {
	http, https, admin string
	data               string
	logs               logFlags
}

func devCommand() *cobra.Command {
	var f devFlags
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Serve the tenants' folders in DIR on this machine, live on change",
		Long: `Serve each folder in DIR (default: the current folder) as a tenant, at
https://FOLDER.localhost:8443 and http://FOLDER.localhost:8080. A change is live a
moment later, or refused with the reason on standard error.

It is an edge like any other, but for what surrounds it: a DNS server in this
process holds the A and TXT records, a certificate authority of its own signs the
certificates, guests may reach private addresses, and their key-value state lasts
until it ends.`,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return serveDev(cmd.Context(), dir, &f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.http, "http", "127.0.0.1:8080", "address of the plain listener")
	cmd.Flags().StringVar(&f.https, "https", "127.0.0.1:8443", "address of the HTTPS listener")
	cmd.Flags().StringVar(&f.admin, "admin", "", "address of the admin listener; empty for none")
	cmd.Flags().StringVar(&f.data, "data", "", "folder for the mirror and the certificate authority (default: in the user's cache)")
	f.logs.register(cmd, "text")
	return cmd
}

func serveDev(ctx context.Context, dir string, f *devFlags, stdout, stderr io.Writer) error {
	log, err := f.logs.logger(stderr)
	if err != nil {
		return usageError{"terrane dev", err}
	}
	data, err := devData(f.data)
	if err != nil {
		return err
	}
	d, err := dev.New(ctx, dev.Options{
		Dir: dir, Data: data, HTTP: f.http, HTTPS: f.https, Admin: f.admin, Version: version(), Greeting: stdout, Logger: log,
	})
	if err != nil {
		return err
	}
	// Unlike serve it is of no use to anyone once nobody reads its output.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stop()
	return logEnd(ctx, log, d.Run)
}

// devData is where dev keeps what it makes.
func devData(chosen string) (string, error) {
	if chosen != "" {
		return filepath.Abs(chosen)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: name a folder with --data", err)
	}
	return filepath.Join(cache, "terrane", "dev"), nil
}
