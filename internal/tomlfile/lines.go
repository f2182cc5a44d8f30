package tomlfile

import (
	"fmt"

	"github.com/pelletier/go-toml/v2/unstable"
)

// keyLines tells in which line each key of a valid document stands. Keys are
// spelled as in Fault.Key.
func keyLines(data []byte) map[string]int {
	l := lines{at: map[string]int{}, elems: map[string]int{}}
	l.p.Reset(data)
	table := ""
	for l.p.NextExpression() {
		e := l.p.Expression()
		switch e.Kind { //nolint:exhaustive // comments are not kept, values stand inside key-values
		case unstable.Table:
			table = l.key("", e, false)
		case unstable.ArrayTable:
			table = l.key("", e, true)
		case unstable.KeyValue:
			l.keyValue(table, e)
		}
	}
	return l.at
}

type lines struct {
	p     unstable.Parser
	at    map[string]int
	elems map[string]int // array tables seen so far, by key
}

// key notes a possibly dotted key below prefix and returns it in full. A part
// that names an array of tables means its last element; appended means that the
// key begins a new one.
func (l *lines) key(prefix string, e *unstable.Node, appended bool) string {
	key := prefix
	for it := e.Key(); it.Next(); {
		part := it.Node()
		key = join(key, string(part.Data))
		if it.IsLast() && appended {
			l.elems[key]++
		}
		if n := l.elems[key]; n > 0 {
			key = fmt.Sprintf("%s[%d]", key, n-1)
		}
		if _, ok := l.at[key]; !ok {
			l.at[key] = l.p.Shape(part.Raw).Start.Line
		}
	}
	return key
}

func (l *lines) keyValue(table string, e *unstable.Node) {
	l.value(l.key(table, e, false), e.Value())
}

func (l *lines) value(key string, v *unstable.Node) {
	switch v.Kind { //nolint:exhaustive // only these hold other values
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			l.keyValue(key, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			elem := fmt.Sprintf("%s[%d]", key, i)
			if it.Node().Raw.Length > 0 {
				l.at[elem] = l.p.Shape(it.Node().Raw).Start.Line
			}
			l.value(elem, it.Node())
		}
	}
}
