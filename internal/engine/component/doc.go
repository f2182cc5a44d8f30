// Package component makes one core module of a component, which an engine then prepares and
// runs like every other module.
//
// A component has no dynamic instantiation. So its definitions are evaluated here: each
// instance of a core module becomes a unit, imports and aliases are resolved, and the units'
// functions, tables, globals and segments are concatenated with new indices. Trampolines, which
// the tools make to break cycles, are replaced by their targets. The imports that are left are the
// functions of the component's imports, flattened as the canonical ABI says:
//
//   - The import module is the interface as the component writes it (wasi:http/types@0.2.3), the
//     name is the function's ([method]fields.append, [resource-drop]fields). An encoding of strings
//     other than UTF-8 is appended to the name: |utf16 or |latin1+utf16.
//   - An import whose result needs memory is called through a generated function, which
//     asks terrane:abi.block(p) for the next block that the host wants, calls the component's
//     realloc for it, passes the pointer p, which is 0 at first, and ends when there is no
//     more. The host never calls the guest.
//   - The export run, () -> (), is the entry: terrane:abi.request() and terrane:abi.outparam()
//     are passed to handle of wasi:http/incoming-handler, or the discriminant of the result of
//     run of wasi:cli/run is passed to terrane:abi.ran.
//
// The semantics differ from a step-by-step instantiation in one way: the segments of all
// modules are in place before the first start function runs.
//
// A core module that exports a handler under the name that it has before wit-component makes a
// component of it (wasi:http/incoming-handler@0.2.0#handle) is treated alike: its imports are the
// flattened functions already.
//
// The package knows no engine and no function of the host. It runs no goroutines, and its
// output depends on its input alone.
package component
