package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/tenant"
)

// Summary says in words which edges serve what.
func (d *Difference) Summary() string {
	names := map[tenant.Revision][]string{}
	for edge, rev := range d.Edges {
		names[rev] = append(names[rev], edge)
	}
	var others []string
	for _, rev := range slices.Sorted(maps.Keys(names)) {
		slices.Sort(names[rev])
		others = append(others, fmt.Sprintf("%s at %s", orNotServed(rev), strings.Join(names[rev], ", ")))
	}
	text := fmt.Sprintf("%s here, %s since %s", orNotServed(d.Here), strings.Join(others, "; "), d.Since.Local().Format(time.DateTime))
	if d.Pin != nil {
		text += "; " + d.Pin.Summary()
	}
	return text
}

func orNotServed(rev tenant.Revision) string {
	if rev == "" {
		return "not served"
	}
	return rev.Short()
}
