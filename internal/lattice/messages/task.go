package messages

import (
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/tenant"
)

// Headers of a task on its way, and of its answer.
const (
	subjectHeader = "Terrane-Subject"
	cronHeader    = "Terrane-Cron"
	dueHeader     = "Terrane-Due"
	pathHeader    = "Terrane-Path"
	hopsHeader    = "Terrane-Hops"
	stateHeader   = "Terrane-State" // of an answer: one of the states
	domainHeader  = "Terrane-Domain"
	codeHeader    = "Terrane-Code"
	guestPrefix   = "G-" // before the names of the guest's own header
)

// verbs of a tenant's subjects, see doc.go.
const (
	verbAsk = "ask"
	verbWho = "who"
	verbAt  = "at" // and the edge's name behind it
)

func subject(id tenant.ID, verb string) string { return "terrane.msg." + token(id) + "." + verb }

func keptSubject(id tenant.ID, domain, subject string) string {
	return "terrane.msg." + token(id) + ".pub." + domain + "." + subject
}

func (t *Task) msg(to string) *nats.Msg {
	msg := nats.NewMsg(to)
	msg.Data = t.Body
	msg.Header[hopsHeader] = []string{strconv.Itoa(t.Hops)}
	if t.Subject != "" {
		msg.Header[subjectHeader] = []string{string(t.Subject)}
		return msg
	}
	msg.Header[cronHeader], msg.Header[pathHeader], msg.Header[dueHeader] = []string{t.Cron}, []string{t.Path}, []string{t.Due.Format(time.RFC3339)}
	return msg
}

// parseTask reads what another edge sent.
func parseTask(h nats.Header, body []byte) (*Task, error) {
	hops, err := strconv.Atoi(h.Get(hopsHeader))
	if err != nil || hops < 0 || hops > MaxHops {
		return nil, fmt.Errorf("hops %.20q: want a number to %d", h.Get(hopsHeader), MaxHops)
	}
	if len(body) > MaxBytes {
		return nil, tooLarge(len(body))
	}
	t := &Task{Body: body, Hops: hops, Cron: h.Get(cronHeader), Path: h.Get(pathHeader)}
	if t.Cron != "" {
		if !strings.HasPrefix(t.Path, "/") || len(t.Path) > 4<<10 || len(t.Cron) > 200 {
			return nil, fmt.Errorf("a cron line %.80q for the path %.80q", t.Cron, t.Path)
		}
		t.Due, _ = time.Parse(time.RFC3339, h.Get(dueHeader)) // an older edge does not say
		return t, nil
	}
	t.Subject, err = tenant.ParseSubject(h.Get(subjectHeader), false)
	return t, err
}

// states of an answer.
const (
	stateWorking = "working" // more comes
	stateDone    = "done"
	stateBusy    = "busy"   // another edge may have room
	stateNobody  = "nobody" // takes this subject
	stateHere    = "here"   // to who: the edge does
)

// msg is the answer as a reply.
func (a *Answer) msg() *nats.Msg {
	msg := nats.NewMsg("")
	msg.Data = a.Body
	msg.Header[stateHeader], msg.Header[codeHeader] = []string{stateDone}, []string{strconv.Itoa(a.Code)}
	for name, values := range a.Header {
		msg.Header[guestPrefix+name] = values
	}
	return msg
}

// state is a reply that has the names of this edge and its region.
func (m *Messages) state(state string) *nats.Msg {
	msg := nats.NewMsg("")
	msg.Data = []byte(m.opts.Lattice.Name())
	msg.Header[domainHeader] = []string{m.opts.Lattice.Domain()}
	msg.Header[stateHeader] = []string{state}
	return msg
}

func parseAnswer(msg *nats.Msg) (*Answer, error) {
	code, err := strconv.Atoi(msg.Header.Get(codeHeader))
	if err != nil || code < 200 || code > 999 {
		return nil, fmt.Errorf("an answer with the status %.20q", msg.Header.Get(codeHeader))
	}
	a := &Answer{Code: code, Header: make(map[string][]string), Body: msg.Data}
	for name, values := range msg.Header {
		if name, ok := strings.CutPrefix(name, guestPrefix); ok {
			a.Header[textproto.CanonicalMIMEHeaderKey(name)] = values
		}
	}
	return a, nil
}
