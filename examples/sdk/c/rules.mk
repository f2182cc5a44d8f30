# Builds MODULE from the folder's C files. Needs clang, lld and wasi-libc: Debian's packages
# of these names and libclang-rt-14-dev-wasm32, or a wasi-sdk (make CLANG=/opt/wasi-sdk/bin/clang).
#
#   make LIBC=none      without wasi-libc, with nolibc.c
#   make OUT=FOLDER     to put the module elsewhere

CLANG   = clang
OUT    ?= .
CFLAGS  = -Os -flto -Wall -Wextra -Werror
TERRANE := $(dir $(lastword $(MAKEFILE_LIST)))

ifeq ($(LIBC),none)
TARGET  := --target=wasm32-unknown-unknown -nostdlib -ffreestanding -fno-builtin
SOURCES := $(TERRANE)terrane.c $(TERRANE)nolibc.c
else
TARGET  := --target=wasm32-wasi -nostartfiles
SOURCES := $(TERRANE)terrane.c
endif

$(OUT)/$(MODULE): $(wildcard *.c *.h) $(SOURCES) $(TERRANE)terrane.h
	$(CLANG) $(TARGET) $(CFLAGS) -I$(TERRANE) -Wl,--no-entry,--strip-all -o $@ $(wildcard *.c) $(SOURCES)
	@chmod 644 $@
