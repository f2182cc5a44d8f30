package ctype

// Named reports whether the types that t is made of can be used by an import or export: each
// record, variant, flags, enum and resource in it is in named. t itself need not be.
func Named(t Type, named map[Type]bool) bool {
	switch t := t.(type) {
	case *Value:
		ok := true
		if t.Resource != nil {
			return named[t.Resource]
		}
		t.parts(func(p *Value) { ok = ok && namedValue(p, named) })
		return ok
	case *Func:
		ok := true
		t.values(func(v *Value) { ok = ok && namedValue(v, named) })
		return ok
	case *Instance:
		for _, e := range t.Exports {
			if !Named(e.Type, named) {
				return false
			}
		}
	}
	return true
}

func namedValue(v *Value, named map[Type]bool) bool {
	switch v.Kind {
	case Record, Variant, Flags, Enum:
		return named[v]
	}
	return Named(v, named)
}
