package wazeroengine

import (
	"reflect"

	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/internal/engine/prepare"
)

const (
	// instanceCost is what wazero holds for an instance beside stacks, in bytes.
	instanceCost = 4 << 10
	// keepStack is how large a stack may be that an idle instance keeps.
	keepStack = 64 << 10
	// firstStack is what a stack begins with.
	firstStack = 10 << 10
)

// renew gives the instance functions with small stacks.
func (in *instance) renew() {
	in.enter = in.mod.ExportedFunction(prepare.Enter)
	in.enterStack = stackOf(in.enter)
	in.allocator = allocator{}
}

// stackBytes is the size of the stacks that the instance keeps.
func (in *instance) stackBytes() int64 {
	n := stackSize(in.enterStack)
	if in.allocator.Function != nil {
		n += stackSize(in.allocator.stack)
	}
	return n
}

// stackOf is where wazero keeps the stack that it has grown for a function. wazero has no
// way to ask; if it ever calls the field otherwise, stacks count as new ones do.
func stackOf(fn api.Function) reflect.Value {
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.Elem().FieldByName("stack")
}

func stackSize(stack reflect.Value) int64 {
	if stack.Kind() != reflect.Slice {
		return firstStack
	}
	return int64(stack.Cap())
}
