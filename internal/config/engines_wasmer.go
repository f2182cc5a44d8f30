//go:build engine_wasmer

package config

// Engines are the names of the engines of this build.
func Engines() []string { return []string{"wazero", "wasmer"} }
