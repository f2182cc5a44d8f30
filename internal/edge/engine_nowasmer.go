//go:build !engine_wasmer

package edge

// wasmer returns nil: this build has no such engine.
func wasmer() makeEngine { return nil }
