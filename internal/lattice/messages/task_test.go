package messages

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

func FuzzTask(f *testing.F) {
	f.Add("orders.new", "", "", "1", []byte("7"))
	f.Add("", "*/5 * * * *", "/tick 2001-09-09T01:46:00Z", "0", []byte{})
	f.Fuzz(func(t *testing.T, subject, cron, path, hops string, body []byte) {
		path, due, _ := strings.Cut(path, " ")
		h := nats.Header{subjectHeader: {subject}, cronHeader: {cron}, pathHeader: {path}, dueHeader: {due}, hopsHeader: {hops}}
		task, err := parseTask(h, body)
		if err != nil {
			return
		}
		msg := task.msg("terrane.msg.x.ask")
		again, err := parseTask(maps.Clone(msg.Header), msg.Data)
		if err != nil || task.Cron == "" && task.Subject != again.Subject || !task.Due.Equal(again.Due) || !reflect.DeepEqual(task.Body, again.Body) {
			t.Errorf("%+v came back as %+v (%v)", task, again, err)
		}
	})
}
