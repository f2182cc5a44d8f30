package wasmbin

// The instructions that callers look at or write.
const (
	OpUnreachable  = 0x00
	OpBlock        = 0x02
	OpLoop         = 0x03
	OpIf           = 0x04
	OpElse         = 0x05
	OpEnd          = 0x0b
	OpBr           = 0x0c
	OpBrIf         = 0x0d
	OpBrTable      = 0x0e
	OpReturn       = 0x0f
	OpCall         = 0x10
	OpCallIndirect = 0x11
	OpSelectTyped  = 0x1c
	OpLocalGet     = 0x20
	OpLocalSet     = 0x21
	OpLocalTee     = 0x22
	OpGlobalGet    = 0x23
	OpGlobalSet    = 0x24
	OpTableGet     = 0x25
	OpTableSet     = 0x26
	OpFirstMemory  = 0x28
	OpLastMemory   = 0x3e
	OpMemorySize   = 0x3f
	OpMemoryGrow   = 0x40
	OpI32Const     = 0x41
	OpI64Const     = 0x42
	OpF32Const     = 0x43
	OpF64Const     = 0x44
	OpFirstNumeric = 0x45
	OpI32Eq        = 0x46
	OpI32LeU       = 0x4d
	OpI32GeS       = 0x4e
	OpI64Eqz       = 0x50
	OpI32Add       = 0x6a
	OpI32Sub       = 0x6b
	OpI32Or        = 0x72
	OpI32ShrU      = 0x76
	OpI64ShrU      = 0x88
	OpI32WrapI64   = 0xa7
	OpLastNumeric  = 0xc4
	OpRefNull      = 0xd0
	OpRefIsNull    = 0xd1
	OpRefFunc      = 0xd2
	OpMisc         = 0xfc
	OpVector       = 0xfd
)

// EmptyBlock is the type of a block without parameters and results.
const EmptyBlock = 0x40

// The instructions behind the prefix OpMisc.
const (
	MiscMemoryInit = 8 + iota
	MiscDataDrop
	MiscMemoryCopy
	MiscMemoryFill
	MiscTableInit
	MiscElemDrop
	MiscTableCopy
	MiscTableGrow
	MiscTableSize
	MiscTableFill
)
