// Package metric holds what packages with metrics share, so that a value means the same
// in each of them.
package metric

// Bool is the value of a gauge that is 1 while b holds, else 0.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
