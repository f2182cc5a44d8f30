# Builds MODULE, NAME.wasm, from NAME.wat. Needs wat2wasm, of Debian's package wabt.
#
#   make OUT=FOLDER     to put the module elsewhere

WAT2WASM ?= wat2wasm
OUT      ?= .

$(OUT)/$(MODULE): $(MODULE:.wasm=.wat)
	$(WAT2WASM) -o $@ $<
