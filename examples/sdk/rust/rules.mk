# Builds MODULE, NAME.wasm, from NAME.rs. Needs rustc 1.59 or later with the target
# wasm32-unknown-unknown: Debian's rustc and libstd-rust-dev-wasm32, or
# `rustup target add wasm32-unknown-unknown`. With KIND = bin, a CGI program for WASI;
# its target bears the name wasm32-wasip1 since rustc 1.78.
#
#   make RUSTC=/usr/bin/rustc     if another rustc comes first in PATH
#   make OUT=FOLDER               to put the module elsewhere
#   make TARGET=wasm32-wasip1

RUSTC     ?= rustc
OUT       ?= .
KIND      ?= cdylib
TARGET    ?= $(if $(filter bin,$(KIND)),wasm32-wasi,wasm32-unknown-unknown)
RUSTFLAGS  = --edition 2021 --target $(TARGET) \
	-C opt-level=s -C lto -C codegen-units=1 -C panic=abort -C strip=symbols
TERRANE   := $(dir $(lastword $(MAKEFILE_LIST)))

$(OUT)/$(MODULE): $(wildcard *.rs $(TERRANE)*.rs)
	$(RUSTC) $(RUSTFLAGS) --crate-type rlib --crate-name terrane -o $(OUT)/libterrane.rlib $(TERRANE)terrane.rs
	$(RUSTC) $(RUSTFLAGS) --crate-type $(KIND) --extern terrane=$(OUT)/libterrane.rlib -o $@ $(MODULE:.wasm=.rs)
	@rm -f $(OUT)/libterrane.rlib
	@chmod 644 $@
