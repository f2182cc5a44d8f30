package engine

import (
	"slices"
	"strings"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine/component"
)

// World is what a component imports and exports.
type World struct {
	Imports []string `json:"imports"` // interfaces with their versions
	Exports []string `json:"exports"`
}

// Core returns the core module that an engine compiles: the fused one of a component, and
// every other file as it is.
func Core(wasm []byte) ([]byte, error) {
	if !component.Is(wasm) {
		return wasm, nil
	}
	f, err := component.Fuse(wasm, component.Limits{})
	if err != nil {
		return nil, refuse("component: %w", err)
	}
	return f.Module, nil
}

// world is Core, and what the file imports and exports if it is a component.
func world(wasm []byte) (*World, []byte, error) {
	if !component.Is(wasm) {
		return nil, wasm, nil
	}
	f, err := component.Fuse(wasm, component.Limits{})
	if err != nil {
		return nil, nil, refuse("component: %w", err)
	}
	return &World{names(f.Imports), names(f.Exports)}, f.Module, nil
}

func names(all []component.Interface) []string {
	out := make([]string, 0, len(all))
	for _, i := range all {
		out = append(out, i.Name)
	}
	return out
}

// checkInterfaces reports each interface of WIT of which nothing is offered, with the
// nearest that is. What is left of the imports is checked one by one.
func checkInterfaces(imports []Import, funcs []hostcalls.Func) (left []Import, faults []error) {
	var offered, seen []string
	for i := range funcs {
		if m := funcs[i].Module; strings.Contains(m, ":") && !slices.Contains(offered, m) {
			offered = append(offered, m)
		}
	}
	for _, im := range imports {
		module, _ := hostcalls.Canonical(im.Module, im.Name)
		switch {
		case !strings.Contains(im.Module, ":"), slices.Contains(offered, module):
			left = append(left, im)
		case !slices.Contains(seen, im.Module):
			seen = append(seen, im.Module)
			faults = append(faults, refuse("imports the interface %s, which is not offered%s", im.Module, nearest(im.Module, offered)))
		}
	}
	return left, faults
}

// face is an interface's name without its version.
func face(module string) string {
	name, _, _ := strings.Cut(module, "@")
	return name
}

// nearest names the offered interface whose name is most like the one that is missing.
func nearest(missing string, offered []string) string {
	best, least := "", len(face(missing))/2+1
	for _, o := range offered {
		if d := distance(face(missing), face(o)); d < least {
			best, least = o, d
		}
	}
	if best == "" {
		return ""
	}
	return "; the nearest is " + best
}

// distance is the number of letters to insert, remove or replace.
func distance(a, b string) int {
	const longest = 200
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
