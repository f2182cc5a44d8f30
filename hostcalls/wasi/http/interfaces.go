package http

import "github.com/terrane/terrane/hostcalls/wasi/abi"

// Interfaces are those of wasi:http, and what a fused component asks for when it is entered.
func Interfaces() []abi.Interface {
	return []abi.Interface{{
		Name: abi.Module, Uses: "incoming-request response-outparam",
		Funcs: []abi.Func{
			{Name: "request", Type: "func() -> incoming-request", Do: giveRequest},
			{Name: "outparam", Type: "func() -> response-outparam", Do: giveOutparam},
		},
	}, {
		Name: "wasi:http/outgoing-handler", Version: "0.2",
		Uses:  "outgoing-request request-options future-incoming-response",
		Types: errorCodes,
		Funcs: []abi.Func{
			{Name: "handle", Type: "func(request: outgoing-request, options: option<request-options>) -> result<future-incoming-response, error-code>", Do: handle},
		},
	}, {
		Name: "wasi:http/types", Version: "0.2",
		Uses: "pollable input-stream output-stream io-error",
		Types: errorCodes + `
			duration = u64
			method = variant{get, head, post, put, delete, connect, options, trace, patch, other(string)}
			scheme = variant{HTTP, HTTPS, other(string)}
			header-error = variant{invalid-syntax, forbidden, immutable}
			field-name = string
			field-value = list<u8>
			status-code = u16`,
		Resources: []abi.ResourceType{
			abi.NewResource[*fields]("fields"),
			abi.NewResource[*incomingRequest]("incoming-request"),
			abi.NewResource[*outgoingRequest]("outgoing-request"),
			abi.NewResource[*requestOptions]("request-options"),
			abi.NewResource[*outparam]("response-outparam"),
			abi.NewResource[*incomingResponse]("incoming-response"),
			abi.NewResource[*incomingBody]("incoming-body"),
			abi.NewResource[*futureTrailers]("future-trailers"),
			abi.NewResource[*outgoingResponse]("outgoing-response"),
			abi.NewResource[*outgoingBody]("outgoing-body"),
			abi.NewResource[*futureResponse]("future-incoming-response"),
		},
		Funcs: append(messages(), outbounds()...),
	}}
}

// messages are the functions of types for fields, the request and its response.
func messages() []abi.Func {
	return []abi.Func{
		{Name: "http-error-code", Type: "func(err: borrow<io-error>) -> option<error-code>", Do: errorCodeOf},

		{Name: "[constructor]fields", Type: "func() -> fields", Do: fieldsNew},
		{Name: "[static]fields.from-list", Type: "func(entries: list<tuple<field-name, field-value>>) -> result<fields, header-error>", Do: fieldsFromList},
		{Name: "[method]fields.get", Type: "func(self: borrow<fields>, name: field-name) -> list<field-value>", Do: fieldsGet},
		{Name: "[method]fields.has", Type: "func(self: borrow<fields>, name: field-name) -> bool", Do: fieldsHas},
		{Name: "[method]fields.set", Type: "func(self: borrow<fields>, name: field-name, value: list<field-value>) -> result<_, header-error>", Do: fieldsSet},
		{Name: "[method]fields.delete", Type: "func(self: borrow<fields>, name: field-name) -> result<_, header-error>", Do: fieldsDelete},
		{Name: "[method]fields.append", Type: "func(self: borrow<fields>, name: field-name, value: field-value) -> result<_, header-error>", Do: fieldsAppend},
		{Name: "[method]fields.entries", Type: "func(self: borrow<fields>) -> list<tuple<field-name, field-value>>", Do: fieldsEntries},
		{Name: "[method]fields.clone", Type: "func(self: borrow<fields>) -> fields", Do: fieldsClone},

		{Name: "[method]incoming-request.method", Type: "func(self: borrow<incoming-request>) -> method", Do: requestMethod},
		{Name: "[method]incoming-request.path-with-query", Type: "func(self: borrow<incoming-request>) -> option<string>", Do: requestPath},
		{Name: "[method]incoming-request.scheme", Type: "func(self: borrow<incoming-request>) -> option<scheme>", Do: requestScheme},
		{Name: "[method]incoming-request.authority", Type: "func(self: borrow<incoming-request>) -> option<string>", Do: requestAuthority},
		{Name: "[method]incoming-request.headers", Type: "func(self: borrow<incoming-request>) -> fields", Do: requestHeaders},
		{Name: "[method]incoming-request.consume", Type: "func(self: borrow<incoming-request>) -> result<incoming-body>", Do: requestConsume},

		{Name: "[method]response-outparam.send-informational", Type: "func(self: borrow<response-outparam>, status: u16, headers: fields) -> result<_, error-code>", Do: informational},
		{Name: "[static]response-outparam.set", Type: "func(param: response-outparam, response: result<outgoing-response, error-code>)", Do: outparamSet},

		{Name: "[constructor]outgoing-response", Type: "func(headers: fields) -> outgoing-response", Do: responseNew},
		{Name: "[method]outgoing-response.status-code", Type: "func(self: borrow<outgoing-response>) -> status-code", Do: responseStatus},
		{Name: "[method]outgoing-response.set-status-code", Type: "func(self: borrow<outgoing-response>, status-code: status-code) -> result", Do: responseSetStatus},
		{Name: "[method]outgoing-response.headers", Type: "func(self: borrow<outgoing-response>) -> fields", Do: responseHeaders},
		{Name: "[method]outgoing-response.body", Type: "func(self: borrow<outgoing-response>) -> result<outgoing-body>", Do: responseBody},

		{Name: "[method]outgoing-body.write", Type: "func(self: borrow<outgoing-body>) -> result<output-stream>", Do: bodyWrite},
		{Name: "[static]outgoing-body.finish", Type: "func(this: outgoing-body, trailers: option<fields>) -> result<_, error-code>", Do: bodyFinish},

		{Name: "[method]incoming-body.stream", Type: "func(self: borrow<incoming-body>) -> result<input-stream>", Do: incomingBodyStream},
		{Name: "[static]incoming-body.finish", Type: "func(this: incoming-body) -> future-trailers", Do: incomingBodyFinish},
		{Name: "[method]future-trailers.subscribe", Type: "func(self: borrow<future-trailers>) -> pollable", Do: trailersSubscribe},
		{Name: "[method]future-trailers.get", Type: "func(self: borrow<future-trailers>) -> option<result<result<option<fields>, error-code>>>", Do: trailersGet},
	}
}

// outbounds are the functions of types for requests that a guest sends.
func outbounds() []abi.Func {
	return []abi.Func{
		{Name: "[constructor]outgoing-request", Type: "func(headers: fields) -> outgoing-request", Do: outboundNew},
		{Name: "[method]outgoing-request.body", Type: "func(self: borrow<outgoing-request>) -> result<outgoing-body>", Do: outboundBody},
		{Name: "[method]outgoing-request.method", Type: "func(self: borrow<outgoing-request>) -> method", Do: outboundMethod},
		{Name: "[method]outgoing-request.set-method", Type: "func(self: borrow<outgoing-request>, method: method) -> result", Do: outboundSetMethod},
		{Name: "[method]outgoing-request.path-with-query", Type: "func(self: borrow<outgoing-request>) -> option<string>", Do: outboundPath},
		{Name: "[method]outgoing-request.set-path-with-query", Type: "func(self: borrow<outgoing-request>, path-with-query: option<string>) -> result", Do: outboundSetPath},
		{Name: "[method]outgoing-request.scheme", Type: "func(self: borrow<outgoing-request>) -> option<scheme>", Do: outboundScheme},
		{Name: "[method]outgoing-request.set-scheme", Type: "func(self: borrow<outgoing-request>, scheme: option<scheme>) -> result", Do: outboundSetScheme},
		{Name: "[method]outgoing-request.authority", Type: "func(self: borrow<outgoing-request>) -> option<string>", Do: outboundAuthority},
		{Name: "[method]outgoing-request.set-authority", Type: "func(self: borrow<outgoing-request>, authority: option<string>) -> result", Do: outboundSetAuthority},
		{Name: "[method]outgoing-request.headers", Type: "func(self: borrow<outgoing-request>) -> fields", Do: outboundHeaders},

		{Name: "[constructor]request-options", Type: "func() -> request-options", Do: optionsNew},
		{Name: "[method]request-options.connect-timeout", Type: "func(self: borrow<request-options>) -> option<duration>", Do: optionsGet(connectTimeout)},
		{Name: "[method]request-options.set-connect-timeout", Type: "func(self: borrow<request-options>, duration: option<duration>) -> result", Do: optionsSet(connectTimeout)},
		{Name: "[method]request-options.first-byte-timeout", Type: "func(self: borrow<request-options>) -> option<duration>", Do: optionsGet(firstByteTimeout)},
		{Name: "[method]request-options.set-first-byte-timeout", Type: "func(self: borrow<request-options>, duration: option<duration>) -> result", Do: optionsSet(firstByteTimeout)},
		{Name: "[method]request-options.between-bytes-timeout", Type: "func(self: borrow<request-options>) -> option<duration>", Do: optionsGet(betweenBytesTimeout)},
		{Name: "[method]request-options.set-between-bytes-timeout", Type: "func(self: borrow<request-options>, duration: option<duration>) -> result", Do: optionsSet(betweenBytesTimeout)},

		{Name: "[method]future-incoming-response.subscribe", Type: "func(self: borrow<future-incoming-response>) -> pollable", Do: futureSubscribe},
		{Name: "[method]future-incoming-response.get", Type: "func(self: borrow<future-incoming-response>) -> option<result<result<incoming-response, error-code>>>", Do: futureGet},

		{Name: "[method]incoming-response.status", Type: "func(self: borrow<incoming-response>) -> status-code", Do: incomingStatus},
		{Name: "[method]incoming-response.headers", Type: "func(self: borrow<incoming-response>) -> fields", Do: incomingResponseHeaders},
		{Name: "[method]incoming-response.consume", Type: "func(self: borrow<incoming-response>) -> result<incoming-body>", Do: incomingConsume},
	}
}
