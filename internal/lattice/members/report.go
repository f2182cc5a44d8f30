package members

import (
	"fmt"
	"strings"

	"github.com/terrane/terrane/internal/lattice"
)

// String says how many copies there are, and what is wrong with others.
func (c *Copies) String() string {
	if c.Problem != "" {
		return c.Problem
	}
	text := fmt.Sprintf("%d of %d", c.Current(), max(c.Wanted, len(c.At)))
	if faults := c.faults(); len(faults) > 0 {
		text += ": " + strings.Join(faults, ", ")
	}
	return text
}

func (c *Copies) faults() (list []string) {
	for _, at := range c.At {
		switch {
		case at.Current:
		case !at.Live:
			list = append(list, at.Edge+" is not there")
		case at.Behind > 0:
			list = append(list, fmt.Sprintf("%s is %d operations behind", at.Edge, at.Behind))
		default:
			list = append(list, at.Edge+" is behind")
		}
	}
	return list
}

// Print shows the copies, a row each, and members that are not there.
func (s *Status) Print(row func(format string, args ...any)) {
	for i := range s.Copies {
		c := &s.Copies[i]
		row("copies\t%s\t%s", c.What, c)
	}
	for i := range s.Members {
		if x := &s.Members[i]; !x.Live {
			row("member\t%s\tnot there", x.label())
		}
	}
	if s.Problem != "" {
		row("copies\t-\t%s", s.Problem)
	}
}

// Diagnose says what is wrong with the cluster, as it was seen last.
func (m *Members) Diagnose() (found []lattice.Finding) {
	s := m.Status()
	for i := range s.Members {
		x := &s.Members[i]
		if x.Live {
			continue
		}
		found = append(found, lattice.Finding{
			Where: "lattice member " + x.label(), Problem: "it is not heard; its copies count for nothing, and it still counts for the majority",
			Mend: "start it again; if it is lost for good, add an edge in its place and run: terrane lattice forget " + x.Edge,
		})
	}
	for i := range s.Copies {
		c := &s.Copies[i]
		if c.Whole() {
			continue
		}
		f := lattice.Finding{Where: "lattice copies of " + c.What, Problem: c.String(), Mend: "wait until the edges named have caught up; stop no other meanwhile"}
		switch live := s.live(); {
		case c.Problem != "":
			f.Mend = "start the edges that hold it: a majority of them is needed"
		case live < c.Wanted:
			f.Mend = fmt.Sprintf("add edges to the cluster: it has %d that are live, and %d copies are wanted", live, c.Wanted)
		}
		found = append(found, f)
	}
	return found
}
