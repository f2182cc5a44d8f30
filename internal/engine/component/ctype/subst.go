package ctype

// Binding replaces resources and named value types by others in types.
type Binding struct {
	ids  map[*ResourceID]*ResourceID // nil: not bound yet
	memo map[Type]Type               // what was replaced, and value types that are bound
	left *int                        // types that may be visited
}

// NewBinding makes a Binding for the resources open, which are not bound yet. The types that it
// visits are counted down from left.
func NewBinding(left *int, open ...[]*ResourceID) *Binding {
	b := &Binding{map[*ResourceID]*ResourceID{}, map[Type]Type{}, left}
	for _, ids := range open {
		for _, id := range ids {
			b.ids[id] = nil
		}
	}
	return b
}

// inside is a Binding for types within those of b.
func (b *Binding) inside(open []*ResourceID) *Binding {
	in := NewBinding(b.left, open)
	for id, to := range b.ids {
		in.ids[id] = to
	}
	return in
}

// Renew binds resources to new ones, which it returns.
func (b *Binding) Renew(ids []*ResourceID) (fresh []*ResourceID) {
	for _, id := range ids {
		b.ids[id] = &ResourceID{Name: id.Name}
		fresh = append(fresh, b.ids[id])
	}
	return fresh
}

// find is what the resource is bound to: itself if it is not to be replaced.
func (b *Binding) find(id *ResourceID) *ResourceID {
	if to := b.ids[id]; to != nil {
		return to
	}
	return id
}

// open reports whether a resource is not bound yet.
func (b *Binding) open(id *ResourceID) bool {
	to, known := b.ids[id]
	return known && to == nil
}

// Apply returns t with what is bound replaced; t itself if there is nothing in it.
func (b *Binding) Apply(t Type) (Type, error) {
	t = b.apply(t)
	if *b.left < 0 {
		return nil, errEffort
	}
	return t, nil
}

func (b *Binding) apply(t Type) Type {
	if v, ok := t.(*Value); ok && v.primitive() {
		return t
	}
	if known := b.memo[t]; known != nil {
		return known
	}
	if *b.left--; *b.left < 0 {
		return t
	}
	now := t
	switch t := t.(type) {
	case *Value:
		now = b.value(t)
	case *Resource:
		if id := b.find(t.ID); id != t.ID {
			now = &Resource{id}
		}
	case *Func:
		f := *t
		var changed bool
		f.Params, changed = b.fields(t.Params)
		if t.Result != nil {
			f.Result = b.apply(t.Result).(*Value)
		}
		if changed || f.Result != t.Result {
			now = &f
		}
	case *Instance:
		if exports, changed := b.externs(t.Exports); changed {
			i := *t
			i.Exports = exports
			now = &i
		}
	case *Component:
		imports, changed := b.externs(t.Imports)
		exports, also := b.externs(t.Exports)
		if changed || also {
			c := *t
			c.Imports, c.Exports = imports, exports
			now = &c
		}
	}
	b.memo[t] = now
	return now
}

func (b *Binding) externs(in []Extern) (out []Extern, changed bool) {
	out = make([]Extern, len(in))
	for i, e := range in {
		out[i] = e
		out[i].Type = b.apply(e.Type)
		changed = changed || out[i].Type != e.Type
	}
	return out, changed
}

func (b *Binding) fields(in []Field) (out []Field, changed bool) {
	out = make([]Field, len(in))
	for i, f := range in {
		if out[i] = f; f.Type != nil {
			out[i].Type = b.apply(f.Type).(*Value)
		}
		changed = changed || out[i].Type != f.Type
	}
	return out, changed
}

func (b *Binding) value(v *Value) *Value {
	c := *v
	var changed bool
	c.Fields, changed = b.fields(v.Fields)
	if v.Elem != nil {
		c.Elem = b.apply(v.Elem).(*Value)
	}
	if v.Other != nil {
		c.Other = b.apply(v.Other).(*Value)
	}
	if v.Resource != nil {
		c.Resource = b.apply(v.Resource).(*Resource)
	}
	if changed || c.Elem != v.Elem || c.Other != v.Other || c.Resource != v.Resource {
		return &c
	}
	return v
}
