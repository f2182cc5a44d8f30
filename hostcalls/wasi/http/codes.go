package http

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// errorCodes are the cases of error-code with their payloads.
const errorCodes = `
	DNS-error-payload = record{rcode: option<string>, info-code: option<u16>}
	TLS-alert-received-payload = record{alert-id: option<u8>, alert-message: option<string>}
	field-size-payload = record{field-name: option<string>, field-size: option<u32>}
	error-code = variant{
		DNS-timeout, DNS-error(DNS-error-payload), destination-not-found, destination-unavailable,
		destination-IP-prohibited, destination-IP-unroutable, connection-refused, connection-terminated,
		connection-timeout, connection-read-timeout, connection-write-timeout, connection-limit-reached,
		TLS-protocol-error, TLS-certificate-error, TLS-alert-received(TLS-alert-received-payload),
		HTTP-request-denied, HTTP-request-length-required, HTTP-request-body-size(option<u64>),
		HTTP-request-method-invalid, HTTP-request-URI-invalid, HTTP-request-URI-too-long,
		HTTP-request-header-section-size(option<u32>), HTTP-request-header-size(option<field-size-payload>),
		HTTP-request-trailer-section-size(option<u32>), HTTP-request-trailer-size(field-size-payload),
		HTTP-response-incomplete, HTTP-response-header-section-size(option<u32>),
		HTTP-response-header-size(field-size-payload), HTTP-response-body-size(option<u64>),
		HTTP-response-trailer-section-size(option<u32>), HTTP-response-trailer-size(field-size-payload),
		HTTP-response-transfer-coding(option<string>), HTTP-response-content-coding(option<string>),
		HTTP-response-timeout, HTTP-upgrade-failed, HTTP-protocol-error, loop-detected, configuration-error,
		internal-error(option<string>)}`

// errorKind is a case of error-code.
type errorKind int

const (
	dnsTimeout errorKind = iota
	dnsError
	destinationNotFound
	destinationUnavailable
	destinationIPProhibited
	destinationIPUnroutable
	connectionRefused
	connectionTerminated
	connectionTimeout
	connectionReadTimeout
	connectionWriteTimeout
	connectionLimitReached
	tlsProtocolError
	tlsCertificateError
	tlsAlertReceived
	requestDenied
	requestLengthRequired
	requestBodySize
	requestMethodInvalid
	requestURIInvalid
	requestURITooLong
	requestHeaderSectionSize
	requestHeaderSize
	requestTrailerSectionSize
	requestTrailerSize
	responseIncomplete
	responseHeaderSectionSize
	responseHeaderSize
	responseBodySize
	responseTrailerSectionSize
	responseTrailerSize
	responseTransferCoding
	responseContentCoding
	responseTimeout
	upgradeFailed
	protocolError
	loopDetected
	configurationError
	internal
	errorKinds
)

// ErrorCode is an error-code with its payload. What its kind has no place for is not set.
type ErrorCode struct {
	kind    errorKind
	text    string
	n       uint64
	hasText bool
	hasN    bool
	hasSize bool // of requestHeaderSize: the payload
}

func internalError(text string) ErrorCode {
	return ErrorCode{kind: internal, text: text, hasText: true}
}

// Error is the name of the case, and what its payload has.
func (e ErrorCode) Error() string {
	_, names, _ := strings.Cut(errorCodes, "variant{")
	out := "error-code"
	for range e.kind + 1 {
		out, names, _ = strings.Cut(names, ",")
	}
	out, _, _ = strings.Cut(strings.Trim(out, " \n\t}"), "(")
	if e.hasText {
		out = fmt.Sprintf("%s: %.200q", out, e.text)
	}
	if e.hasN {
		out = fmt.Sprintf("%s (%d)", out, e.n)
	}
	return out
}

func (e ErrorCode) putText(to abi.Place) {
	if !e.hasText {
		to.None()
		return
	}
	to.Some().Text(abi.Valid(e.text))
}

func (e ErrorCode) putN(to abi.Place) {
	if !e.hasN {
		to.None()
		return
	}
	to.Some().Put(e.n)
}

func (e ErrorCode) putSize(to abi.Place) {
	e.putText(to.Field(0))
	e.putN(to.Field(1))
}

// put lowers the error-code.
func (e ErrorCode) put(to abi.Place) {
	payload := to.Case(int(e.kind))
	switch e.kind {
	case dnsError, requestTrailerSize, responseHeaderSize, responseTrailerSize:
		e.putSize(payload)
	case tlsAlertReceived:
		e.putN(payload.Field(0))
		e.putText(payload.Field(1))
	case requestBodySize, responseBodySize, requestHeaderSectionSize, requestTrailerSectionSize, responseHeaderSectionSize, responseTrailerSectionSize:
		e.putN(payload)
	case requestHeaderSize:
		if !e.hasSize {
			payload.None()
			return
		}
		e.putSize(payload.Some())
	case responseTransferCoding, responseContentCoding, internal:
		e.putText(payload)
	}
}

// lifter reads flattened values from core parameter i on.
type lifter struct {
	c   *abi.Call
	i   int
	err error
}

func (l *lifter) option() bool {
	n, err := l.c.Case(l.i, 2)
	if l.err == nil {
		l.err = err
	}
	l.i++
	return n == 1
}

func (l *lifter) text(e *ErrorCode) {
	if e.hasText = l.option(); e.hasText && l.err == nil {
		var b []byte
		b, l.err = l.c.Text(l.i)
		e.text = string(b[:min(len(b), maxText)])
	}
	l.i += 2
}

func (l *lifter) number(e *ErrorCode) {
	if e.hasN = l.option(); e.hasN {
		e.n = l.c.U64(l.i)
		if e.kind != requestBodySize && e.kind != responseBodySize {
			e.n = uint64(uint32(e.n))
		}
	}
	l.i++
}

// maxText is how much of an error's text is kept.
const maxText = 1 << 10

// liftErrorCode lifts an error-code from core parameter i on.
func liftErrorCode(c *abi.Call, i int) (e ErrorCode, err error) {
	kind, err := c.Case(i, int(errorKinds))
	if err != nil {
		return e, err
	}
	e.kind = errorKind(kind)
	l := &lifter{c: c, i: i + 1}
	switch e.kind {
	case requestHeaderSize:
		if e.hasSize = l.option(); e.hasSize {
			l.text(&e)
			l.number(&e)
		}
	case dnsError, requestTrailerSize, responseHeaderSize, responseTrailerSize:
		l.text(&e)
		l.number(&e)
	case tlsAlertReceived:
		l.number(&e)
		l.text(&e)
	case requestBodySize, responseBodySize, requestHeaderSectionSize, requestTrailerSectionSize, responseHeaderSectionSize, responseTrailerSectionSize:
		l.number(&e)
	case responseTransferCoding, responseContentCoding, internal:
		l.text(&e)
	}
	return e, l.err
}

// codeOf is the error-code for an error of a body or an outbound request.
func codeOf(err error) ErrorCode {
	if e, ok := errors.AsType[ErrorCode](err); ok {
		return e
	}
	text := err.Error()
	var fault hostcalls.FetchError
	if !errors.As(err, &fault) {
		return internalError(text)
	}
	kind, ok := map[hostcalls.Fault]errorKind{
		hostcalls.FaultDenied: requestDenied, hostcalls.FaultAddress: destinationIPProhibited,
		hostcalls.FaultName: destinationNotFound, hostcalls.FaultConnect: destinationUnavailable,
		hostcalls.FaultRefused: connectionRefused, hostcalls.FaultClosed: connectionTerminated,
		hostcalls.FaultTimeout: connectionTimeout, hostcalls.FaultCertificate: tlsCertificateError,
		hostcalls.FaultTLS: tlsProtocolError, hostcalls.FaultHeader: responseHeaderSectionSize,
		hostcalls.FaultLoop: loopDetected,
	}[fault.Fault()]
	switch {
	case ok:
		return ErrorCode{kind: kind}
	case fault.Fault() == hostcalls.FaultResolver:
		return ErrorCode{kind: dnsError, text: text, hasText: true}
	}
	return internalError(text)
}

// errorCodeOf is http-error-code: it tells what a stream of a body has failed for.
func errorCodeOf(_ context.Context, c *abi.Call) error {
	e, err := abi.Lent[*stream.Error](c, 0)
	if err != nil {
		return err
	}
	var fault hostcalls.FetchError
	if _, ok := errors.AsType[ErrorCode](e.Err); !ok && !errors.As(e.Err, &fault) {
		c.Result().None()
		return nil
	}
	codeOf(e.Err).put(c.Result().Some())
	return nil
}
