package main

import (
	"fmt"
	"io"
	"os"

	"github.com/terrane/terrane/internal/config"
)

// optionalConfig is the configuration in file, or the default if there is no file.
func optionalConfig(file string) (*config.Config, error) {
	if file == "" {
		return config.Default(), nil
	}
	return config.Load(file)
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
