package tomlfile

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// table assigns the keys of a TOML table to the fields of a struct.
func (d *Doc) table(prefix string, tree map[string]any, dst reflect.Value) {
	fields := map[string]reflect.Value{}
	for i := range dst.NumField() {
		if tag, ok := dst.Type().Field(i).Tag.Lookup("toml"); ok {
			fields[tag] = dst.Field(i)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		key := join(prefix, name)
		field, ok := fields[name]
		if !ok {
			d.Fault(key, "unknown key; known here are %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
			continue
		}
		d.value(key, tree[name], field)
	}
}

func (d *Doc) value(key string, src any, dst reflect.Value) {
	if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(key, src, u)
		return
	}
	switch dst.Kind() { //nolint:exhaustive // every other kind is the caller's mistake, and panics below
	case reflect.Pointer:
		dst.Set(reflect.New(dst.Type().Elem()))
		d.value(key, src, dst.Elem())
	case reflect.Struct:
		if tree, ok := expect[map[string]any](d, key, src, "a table"); ok {
			d.table(key, tree, dst)
		}
	case reflect.Map:
		if tree, ok := expect[map[string]any](d, key, src, "a table"); ok {
			d.entries(key, tree, dst)
		}
	case reflect.Slice:
		if list, ok := expect[[]any](d, key, src, "a list"); ok {
			out := reflect.MakeSlice(dst.Type(), len(list), len(list))
			for i, item := range list {
				d.value(fmt.Sprintf("%s[%d]", key, i), item, out.Index(i))
			}
			dst.Set(out)
		}
	case reflect.String:
		if s, ok := expect[string](d, key, src, "a string in quotes"); ok {
			dst.SetString(s)
		}
	case reflect.Bool:
		if b, ok := expect[bool](d, key, src, "true or false"); ok {
			dst.SetBool(b)
		}
	case reflect.Int, reflect.Int64:
		if n, ok := expect[int64](d, key, src, "an integer"); ok {
			dst.SetInt(n)
		}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		d.unsigned(key, src, dst)
	default:
		panic("tomlfile: no way to fill a " + dst.Type().String())
	}
}

func (d *Doc) unsigned(key string, src any, dst reflect.Value) {
	n, ok := expect[int64](d, key, src, "an integer")
	if !ok {
		return
	}
	if n < 0 || dst.OverflowUint(uint64(n)) {
		d.Unreadable(key, "%d is out of range: 0 to %d are taken", n, uint64(1)<<dst.Type().Bits()-1)
		return
	}
	dst.SetUint(uint64(n))
}

func (d *Doc) entries(key string, tree map[string]any, dst reflect.Value) {
	dst.Set(reflect.MakeMapWithSize(dst.Type(), len(tree)))
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		item := reflect.New(dst.Type().Elem()).Elem()
		d.value(join(key, name), tree[name], item)
		dst.SetMapIndex(reflect.ValueOf(name).Convert(dst.Type().Key()), item)
	}
}

func (d *Doc) text(key string, src any, dst encoding.TextUnmarshaler) {
	var text string
	switch src := src.(type) {
	case string:
		text = src
	case int64:
		text = strconv.FormatInt(src, 10)
	default:
		d.Unreadable(key, "want a string in quotes, not %s", kind(src))
		return
	}
	if err := dst.UnmarshalText([]byte(text)); err != nil {
		d.Unreadable(key, "%v", err)
	}
}

func expect[T any](d *Doc, key string, src any, want string) (T, bool) {
	v, ok := src.(T)
	if !ok {
		d.Unreadable(key, "want %s, not %s", want, kind(src))
	}
	return v, ok
}

func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a decimal number"
	case bool:
		return "true or false"
	case map[string]any:
		return "a table"
	case []any:
		return "a list"
	default:
		return "a date or time"
	}
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
