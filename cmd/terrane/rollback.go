package main

import (
	"os"
	"os/user"

	"github.com/spf13/cobra"
)

func rollbackCommand() *cobra.Command {
	var f adminFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "rollback TENANT REVISION",
		Short: "Make an earlier release of a tenant live again, until the content of its folder changes",
		Long: `Make an earlier release of a tenant live again at every edge of the lattice, and return once
it is. It stays, over restarts too, until the content of the tenant's folder changes and is good:
touching files, or a commit that changes no content, does not end it. The beginning of the
revision will do, from seven characters on; "terrane releases TENANT" lists them.`,
		Args: usage(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := tenantQuery(cmd, args[0])
			if err != nil {
				return err
			}
			q.Set("revision", args[1])
			q.Set("by", whoami())
			q.Set("reason", reason)
			return f.post(cmd.Context(), "/rollback", q)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the others who see it in \"terrane releases\"")
	return cmd
}

// whoami names who runs the command, as USER@HOST.
func whoami() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
