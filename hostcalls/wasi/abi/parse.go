package abi

import (
	"fmt"
	"strconv"
	"strings"
)

// parser reads types in the syntax of WIT.
type parser struct {
	rest  string
	named map[string]*Type // a resource's name is its owned handle
}

// fault is a panic of the parser: tables are written by this program's authors.
type fault struct{ error }

func (p *parser) fail(want string) {
	panic(fault{fmt.Errorf("want %s at %.40q", want, p.rest)})
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \n\t") }

// eat takes s if it is next.
func (p *parser) eat(s string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, s)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) want(s string) {
	if !p.eat(s) {
		p.fail(s)
	}
}

// word takes a name, without the % that lets it be a keyword.
func (p *parser) word() string {
	p.space()
	p.rest = strings.TrimPrefix(p.rest, "%")
	n := 0
	for n < len(p.rest) && (p.rest[n] == '-' && n+1 < len(p.rest) && p.rest[n+1] != '>' || p.rest[n] >= '0' && p.rest[n] <= '9' || p.rest[n]|0x20 >= 'a' && p.rest[n]|0x20 <= 'z') {
		n++
	}
	if n == 0 {
		p.fail("a name")
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *parser) typ() *Type {
	switch w := p.word(); w {
	case "list":
		p.want("<")
		t := list(p.typ())
		p.want(">")
		return t
	case "option":
		p.want("<")
		t := variant([]part{{name: "none"}, {name: "some", typ: p.typ()}})
		p.want(">")
		return t
	case "result":
		return p.result()
	case "tuple":
		p.want("<")
		var parts []part
		for !p.eat(">") {
			parts = append(parts, part{name: strconv.Itoa(len(parts)), typ: p.typ()})
			p.eat(",")
		}
		return record(parts)
	case "own", "borrow":
		p.want("<")
		name := p.word()
		if t := p.named[name]; t != nil && t.kind == kindOwn {
			name = t.name
		} else {
			p.fail("a resource instead of " + name)
		}
		p.want(">")
		if w == "own" {
			return handle(kindOwn, name)
		}
		return handle(kindBorrow, name)
	case "record":
		return record(p.parts(":"))
	case "variant", "enum":
		return variant(p.parts("("))
	case "flags":
		return flagsOf(p.parts("("))
	default:
		if t := primitive(w); t != nil {
			return t
		}
		if t := p.named[w]; t != nil {
			return t
		}
		p.fail("a type instead of " + w)
		return nil
	}
}

func (p *parser) result() *Type {
	ok, err := part{name: "ok"}, part{name: "error"}
	if p.eat("<") {
		if !p.eat("_") {
			ok.typ = p.typ()
		}
		if p.eat(",") {
			err.typ = p.typ()
		}
		p.want(">")
	}
	return variant([]part{ok, err})
}

// parts reads fields, cases or labels in braces; mark comes before a part's type.
func (p *parser) parts(mark string) []part {
	var out []part
	for p.want("{"); !p.eat("}"); p.eat(",") {
		f := part{name: p.word()}
		if p.eat(mark) {
			f.typ = p.typ()
			if mark == "(" {
				p.want(")")
			}
		}
		out = append(out, f)
	}
	return out
}

func (p *parser) function() *signature {
	s := &signature{}
	p.want("func")
	for p.want("("); !p.eat(")"); p.eat(",") {
		name := p.word()
		p.want(":")
		s.params = append(s.params, part{name: name, typ: p.typ()})
	}
	if p.eat("->") {
		s.result = p.typ()
	}
	return s
}

// define reads definitions "name = type", each in a line of its own or more.
func (p *parser) define(text string) {
	for p.rest = text; strings.TrimSpace(p.rest) != ""; {
		name := p.word()
		p.want("=")
		p.named[name] = p.typ()
	}
}
