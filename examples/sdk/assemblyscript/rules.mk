# Builds MODULE, NAME.wasm, from NAME.ts. Needs Node.js 20 or later; npx fetches the
# compiler.
#
#   make ASC=asc        with a compiler that is installed
#   make OUT=FOLDER     to put the module elsewhere

ASC     ?= npx --yes --package assemblyscript@0.28.20 asc
OUT     ?= .
# The stub runtime never frees: the memory ends with the request.
ASCFLAGS = -O3 --shrinkLevel 2 --converge --runtime stub --use abort=~lib/terrane/abort
TERRANE := $(dir $(lastword $(MAKEFILE_LIST)))

$(OUT)/$(MODULE): $(MODULE:.wasm=.ts) $(TERRANE)terrane.ts
	$(ASC) $< --lib $(TERRANE) $(ASCFLAGS) --outFile $@
