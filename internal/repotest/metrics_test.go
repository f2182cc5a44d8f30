package repotest

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// units a metric's name can end in. What is counted is a unit too, and so is what is true at 1.
var units = []string{"total", "seconds", "bytes", "ratio", "info", "count", "requests", "connections", "tenants", "ready", "ok", "up"}

// TestMetricNames wants terrane_<package>_<what>_<unit> and a help text; the package
// may be one above, whose seam the metric's package implements. Of a name that is
// put together only the literal start is checked.
func TestMetricNames(t *testing.T) {
	eachGoFile(t, func(name string, fset *token.FileSet, file *ast.File) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		packages := strings.Join(strings.Split(path.Dir(name), "/"), "|")
		start := regexp.MustCompile(`^terrane_(` + packages + `)_`)
		form := regexp.MustCompile(start.String() + `([a-z0-9]+_)*(` + strings.Join(units, "|") + `)$`)
		ast.Inspect(file, func(n ast.Node) bool {
			metric, ok := metricOf(n)
			if !ok {
				return true
			}
			at := fset.Position(n.Pos())
			if metric.open {
				if !start.MatchString(metric.name) {
					t.Errorf("%s: metric %q...: want a literal terrane_%s_ at its start", at, metric.name, file.Name.Name)
				}
				return true
			}
			switch {
			case !form.MatchString(metric.name):
				t.Errorf("%s: metric %q: want terrane_%s_<what>_<unit>, unit one of %v", at, metric.name, file.Name.Name, units)
			case metric.counter != strings.HasSuffix(metric.name, "_total"):
				t.Errorf("%s: metric %q: counters end in _total, and nothing else does", at, metric.name)
			case !metric.help:
				t.Errorf("%s: metric %q has no help", at, metric.name)
			}
			return true
		})
	})
}

type metric struct {
	name    string
	open    bool // more follows the name at run time
	help    bool
	counter bool
}

// metricOf recognizes prometheus.XxxOpts{...} and prometheus.NewDesc(...).
func metricOf(n ast.Node) (m metric, ok bool) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		kind, ok := prometheusName(n.Type)
		if !ok || !slices.Contains([]string{"Opts", "CounterOpts", "GaugeOpts", "HistogramOpts", "SummaryOpts"}, kind) {
			return m, false
		}
		for _, elt := range n.Elts {
			if kv, ok := elt.(*ast.KeyValueExpr); ok {
				switch key, _ := kv.Key.(*ast.Ident); key.Name {
				case "Name":
					m.name, m.open = literal(kv.Value)
				case "Help":
					m.help = true
				case "Namespace", "Subsystem": // names are found by a search only when they are whole
					return metric{}, true
				}
			}
		}
		m.counter = kind == "CounterOpts"
		return m, true
	case *ast.CallExpr:
		if kind, ok := prometheusName(n.Fun); ok && kind == "NewDesc" && len(n.Args) > 1 {
			m.name, m.open = literal(n.Args[0])
			m.help = true
			m.counter = strings.HasSuffix(m.name, "_total") // the kind is said elsewhere
			return m, true
		}
	}
	return m, false
}

func prometheusName(e ast.Expr) (string, bool) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	x, ok := sel.X.(*ast.Ident)
	return sel.Sel.Name, ok && x.Name == "prometheus"
}

// literal is the value of a string literal, or of the one that a sum starts with; open
// says that there is more.
func literal(e ast.Expr) (s string, open bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ = strconv.Unquote(e.Value)
		return s, false
	case *ast.BinaryExpr:
		s, _ = literal(e.X)
	}
	return s, true
}
