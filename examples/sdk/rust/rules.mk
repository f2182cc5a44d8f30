# Builds MODULE, NAME.wasm, from NAME.rs. Needs rustc 1.58 or later with the target
# wasm32-unknown-unknown: Debian's rustc and libstd-rust-dev-wasm32, or
# `rustup target add wasm32-unknown-unknown`.
#
#   make RUSTC=/usr/bin/rustc     if another rustc comes first in PATH
#   make OUT=FOLDER               to put the module elsewhere

RUSTC     ?= rustc
OUT       ?= .
RUSTFLAGS  = --edition 2021 --target wasm32-unknown-unknown \
	-C opt-level=s -C lto -C codegen-units=1 -C panic=abort -C strip=symbols
TERRANE   := $(dir $(lastword $(MAKEFILE_LIST)))terrane.rs

$(OUT)/$(MODULE): $(MODULE:.wasm=.rs) $(TERRANE)
	$(RUSTC) $(RUSTFLAGS) --crate-type rlib --crate-name terrane -o $(OUT)/libterrane.rlib $(TERRANE)
	$(RUSTC) $(RUSTFLAGS) --crate-type cdylib --extern terrane=$(OUT)/libterrane.rlib -o $@ $<
	@rm -f $(OUT)/libterrane.rlib
	@chmod 644 $@
