package wasmgen

// function is one that is being made.
type function struct {
	*module
	out    []byte
	typ    funcType
	locals [][]byte // indices of local variables by the position of their type in valTypes
	count  byte     // the first of the counters, one for each loop around another
	loops  int      // around what is written
	labels [][]byte // what a branch to each of them takes, the innermost last
	room   int      // how many instructions may be written, about
	last   bool     // it is Run
}

const (
	maxDepth = 6
	counters = maxDepth + 1
)

func newFunction(m *module, i int) *function {
	f := &function{module: m, typ: types()[m.functions[i]], last: i == len(m.functions)-1, locals: make([][]byte, len(valTypes))}
	next := byte(0)
	add := func(t byte) {
		f.locals[i32-t] = append(f.locals[i32-t], next)
		next++
	}
	for _, t := range f.typ.params {
		add(t)
	}
	for _, t := range []byte(valTypes) {
		add(t)
		add(t)
	}
	f.count = next
	f.room = 20 + m.n(100)
	f.labels = [][]byte{f.typ.results}
	return f
}

func (f *function) op(b ...byte) { f.out = append(f.out, b...) }

// body is the function with its local variables.
func (f *function) body() []byte {
	f.out = []byte{5, 2, i32, 2, i64, 2, f32, 2, f64, counters, i32}
	f.spend()
	if f.last { // calls all others, so that none is made in vain
		for i := range len(f.functions) - 1 {
			f.call(i)
		}
	}
	f.statements(0)
	f.values(f.typ.results, 0)
	f.op(0x0b)
	return f.out
}

// spend ends the function, or everything, when the budget is used up.
func (f *function) spend() {
	if f.Endless {
		return
	}
	f.op(0x23, budgetVar, 0x41, 1, 0x6b, 0x24, budgetVar, 0x23, budgetVar, 0x41, 0, 0x48, 0x04, 0x40)
	if f.n(8) == 0 {
		f.op(0x00)
	} else {
		f.defaults(f.typ.results)
		f.op(0x0f)
	}
	f.op(0x0b)
}

func (f *function) defaults(all []byte) {
	for _, t := range all {
		f.out = append(f.out, f.constant(t)...)
	}
}

func (f *function) values(all []byte, depth int) {
	for _, t := range all {
		f.value(t, depth)
	}
}

// call calls the function of the index, the import not counted, and drops its results.
func (f *function) call(i int) {
	t := types()[f.functions[i]]
	f.values(t.params, maxDepth-1)
	f.op(0x10, byte(i+1))
	f.drop(len(t.results))
}

func (f *function) drop(n int) {
	for range n {
		f.op(0x1a)
	}
}

func (f *function) statements(depth int) {
	for range 1 + f.n(5) {
		if f.room <= 0 {
			return
		}
		f.statement(depth)
	}
}

func (f *function) local(t byte) byte {
	of := f.locals[i32-t]
	return of[f.n(len(of))]
}

// global is one of the type that may be set.
func (f *function) global(t byte) byte { return byte(1 + int(i32-t)*globalsOf + f.n(globalsOf)) }

func (f *function) anyType() byte { return valTypes[f.n(len(valTypes))] }

func (f *function) statement(depth int) {
	f.room--
	if depth >= maxDepth {
		f.simple(depth)
		return
	}
	switch f.n(12) {
	case 0, 1, 2:
		f.loop(depth)
	case 3:
		f.block([]byte{0x02, 0x40}, nil, nil, depth)
	case 4:
		f.value(i32, depth+1)
		f.block([]byte{0x04, 0x40}, nil, nil, depth)
	case 5:
		f.branch(depth)
	case 6:
		f.call(f.n(len(f.functions)))
	default:
		f.simple(depth)
	}
}

// block writes a block that leaves results; what branches to it take are label.
func (f *function) block(begin, label, results []byte, depth int) {
	f.op(begin...)
	f.labels = append(f.labels, label)
	f.statements(depth + 1)
	f.values(results, depth+1)
	if begin[0] == 0x04 && (len(results) > 0 || f.n(2) == 0) {
		f.op(0x05)
		f.statements(depth + 1)
		f.values(results, depth+1)
	}
	f.labels = f.labels[:len(f.labels)-1]
	f.op(0x0b)
}

// loop writes a loop that counts its passes, or one that goes back when something that
// it computes says so.
func (f *function) loop(depth int) {
	counter := f.count + byte(f.loops)
	f.loops++
	takes := f.n(6) == 0
	if takes {
		f.value(i32, depth+1)
	}
	f.op(0x41)
	f.out = append(f.out, s64(int64(1+f.n(63)))...)
	f.op(0x21, counter, 0x03)
	var params []byte
	if takes {
		params = []byte{i32}
		f.op(typeI32ToI32, 0x21, f.local(i32))
	} else {
		f.op(0x40)
	}
	f.labels = append(f.labels, params)
	if f.n(4) == 0 {
		f.op(0x10, 0)
	}
	f.spend()
	f.statements(depth + 1)
	f.values(params, depth+1)
	f.op(0x20, counter, 0x41, 1, 0x6b, 0x22, counter)
	if f.n(4) == 0 {
		f.value(i32, depth+1)
		f.op(0x71)
	}
	f.op(0x0d, 0)
	f.labels = f.labels[:len(f.labels)-1]
	f.op(0x0b)
	f.drop(len(params))
	f.loops--
}

// branch writes one of each kind, to any label.
func (f *function) branch(depth int) {
	label := f.n(len(f.labels))
	takes := f.labels[len(f.labels)-1-label]
	switch f.n(5) {
	case 0, 1:
		f.values(takes, depth+1)
		f.value(i32, depth+1)
		f.op(0x0d, byte(label))
		f.drop(len(takes))
	case 2: // else nothing behind it would ever run
		f.value(i32, depth+1)
		f.op(0x04, 0x40)
		f.labels = append(f.labels, nil)
		f.values(takes, depth+1)
		f.op(0x0c, byte(label+1), 0x0b)
		f.labels = f.labels[:len(f.labels)-1]
	case 3:
		f.table(label, takes, depth)
	default:
		f.value(i32, depth+1)
		f.op(0x04, 0x40)
		f.labels = append(f.labels, nil)
		f.values(f.typ.results, depth+1)
		f.op(0x0f, 0x0b)
		f.labels = f.labels[:len(f.labels)-1]
	}
}

// table writes a br_table to labels that take the same as label, in a block that ends
// with it.
func (f *function) table(label int, takes []byte, depth int) {
	f.op(0x02, 0x40)
	f.labels = append(f.labels, nil)
	label++
	same := []byte{byte(label)}
	for range 1 + f.n(4) {
		other := f.n(len(f.labels))
		if string(f.labels[len(f.labels)-1-other]) == string(takes) {
			same = append(same, byte(other))
		}
	}
	f.values(takes, depth+1)
	f.value(i32, depth+1)
	f.op(0x0e, byte(len(same)-1))
	f.op(same...)
	f.labels = f.labels[:len(f.labels)-1]
	f.op(0x0b)
}
