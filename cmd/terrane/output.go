package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// newTable returns what writes a row, whose cells are separated by tabs, and what ends the table.
func newTable(w io.Writer) (row func(format string, args ...any), end func() error) {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	return func(format string, args ...any) { _, _ = fmt.Fprintf(tw, format+"\n", args...) }, tw.Flush // which returns what fails
}

// printJSON prints a value for people to read.
func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
