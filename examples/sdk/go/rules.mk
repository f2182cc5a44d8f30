# Builds MODULE from the folder's Go files. Needs Go 1.24 or later.
#
#   make OUT=FOLDER     to put the module elsewhere

GO  ?= go
OUT ?= .

$(OUT)/$(MODULE): $(wildcard *.go) $(wildcard $(dir $(lastword $(MAKEFILE_LIST)))*.go)
	GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o $@ $(wildcard *.go)
