package main

import (
	"os"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/terrane/terrane/internal/edge"
)

func TestMain(m *testing.M) {
	if os.Getenv(readmeNamespace) != "" {
		os.Exit(m.Run())
	}
	testscript.Main(m, map[string]func(){"terrane": main})
}

// TestScripts runs the command line as users do: one script per subcommand.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			return slices.Contains(edge.Engines(), name), nil
		},
		Setup: func(e *testscript.Env) error {
			wd, err := os.Getwd()
			e.Setenv("EXAMPLES", wd+"/../../examples")
			e.Setenv("TESTDATA", wd+"/../../internal/engine/enginetest/testdata")
			e.Setenv("COMPONENTS", wd+"/../../internal/engine/component/testdata")
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/cache")
			return err
		},
	})
}
