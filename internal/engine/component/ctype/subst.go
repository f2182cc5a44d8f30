package ctype

// Binding replaces resources by others in types.
type Binding struct {
	ids    map[*ResourceID]*ResourceID // nil: not bound yet
	values map[*Value]*Value
	names  map[*Resource]*Resource
	// Left is how many types may be made; then Apply returns ErrEffort.
	left *int
}

// NewBinding makes a Binding for the resources open, which are not bound yet. The types that it
// makes are counted down from left.
func NewBinding(left *int, open ...[]*ResourceID) *Binding {
	b := &Binding{map[*ResourceID]*ResourceID{}, map[*Value]*Value{}, map[*Resource]*Resource{}, left}
	for _, ids := range open {
		for _, id := range ids {
			b.ids[id] = nil
		}
	}
	return b
}

// Renew binds resources to new ones.
func (b *Binding) Renew(ids []*ResourceID, local bool) (fresh []*ResourceID) {
	for _, id := range ids {
		b.ids[id] = &ResourceID{Name: id.Name, Local: local}
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

// Open reports whether a resource is not bound yet.
func (b *Binding) Open(id *ResourceID) bool {
	to, known := b.ids[id]
	return known && to == nil
}

// Apply returns t with its resources replaced; t itself if it has none that are.
func (b *Binding) Apply(t Type) (Type, error) {
	if *b.left -= t.weight(); *b.left < 0 {
		return nil, errEffort
	}
	return b.apply(t), nil
}

func (b *Binding) apply(t Type) Type {
	switch t := t.(type) {
	case *Value:
		return b.value(t)
	case *Resource:
		return b.resource(t)
	case *Func:
		f := *t
		f.Params = b.fields(t.Params)
		if t.Result != nil {
			f.Result = b.value(t.Result)
		}
		return &f
	case *Instance:
		i := *t
		i.Exports = b.externs(t.Exports)
		return &i
	case *Component:
		c := *t
		c.Imports, c.Exports = b.externs(t.Imports), b.externs(t.Exports)
		return &c
	}
	return t
}

func (b *Binding) externs(in []Extern) []Extern {
	out := make([]Extern, len(in))
	for i, e := range in {
		e.Type = b.apply(e.Type)
		out[i] = e
	}
	return out
}

func (b *Binding) fields(in []Field) []Field {
	out := make([]Field, len(in))
	for i, f := range in {
		if f.Type != nil {
			f.Type = b.value(f.Type)
		}
		out[i] = f
	}
	return out
}

func (b *Binding) resource(r *Resource) *Resource {
	id := b.find(r.ID)
	if id == r.ID {
		return r
	}
	if b.names[r] == nil {
		b.names[r] = &Resource{id}
	}
	return b.names[r]
}

func (b *Binding) value(v *Value) *Value {
	if !v.handles && v.Kind != Stream && v.Kind != Future {
		return v
	}
	if known := b.values[v]; known != nil {
		return known
	}
	c := *v
	c.Fields = b.fields(v.Fields)
	if v.Elem != nil {
		c.Elem = b.value(v.Elem)
	}
	if v.Other != nil {
		c.Other = b.value(v.Other)
	}
	if v.Resource != nil {
		c.Resource = b.resource(v.Resource)
	}
	b.values[v] = &c
	return &c
}
