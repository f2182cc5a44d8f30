# Builds MODULE from hello.js. Needs Node.js 20 or later; npm fetches the tools.
#
#   make OUT=FOLDER     to put the module elsewhere

NPM ?= npm
OUT ?= .

$(OUT)/$(MODULE): hello.js build.mjs package.json node_modules/.installed $(wildcard wit/*.wit)
	node build.mjs hello.js $@

node_modules/.installed: package.json
	$(NPM) install --no-audit --no-fund
	touch $@
