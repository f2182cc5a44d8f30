//go:build wasip1

// Uses what of the library no example does.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	terrane "github.com/terrane/terrane/examples/sdk/go"
)

func main() {
	switch os.Getenv("SCRIPT_NAME") {
	case "/large":
		large()
	case "/stream":
		stream(os.Getenv("QUERY_STRING"))
	default:
		fmt.Print("Content-Type: text/plain\n\n", answer(os.Getenv("SCRIPT_NAME"), os.Getenv("QUERY_STRING")))
	}
}

func answer(path, query string) string {
	switch path {
	case "/sent":
		_, err := terrane.Fetch("GET", "http://192.0.2.1/", terrane.Header{"x": {"\n"}}, "")
		return err.Error()
	case "/where":
		terrane.LogAt(terrane.Warning, "careful")
		return terrane.EdgeName() + " " + terrane.EdgeRegion() + " " + terrane.RequestID()
	case "/versions":
		return versions()
	case "/timeout":
		if _, err := (terrane.Call{Method: "GET", URL: query, Timeout: 50 * time.Millisecond}).Do(); err != nil {
			return "none in time"
		}
		return "an answer"
	case "/async":
		return async(strings.Split(query, "&"))
	case "/more":
		return more(query)
	}
	return messages()
}

func large() {
	fmt.Print("Content-Type: text/plain\n\n")
	for range 3 {
		if _, err := fmt.Print(strings.Repeat("x", 128<<10)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func versions() string {
	first, _ := terrane.KVPut("v", "one", terrane.Absent, 0)
	_, again := terrane.KVPut("v", "two", terrane.Absent, 0)
	value, version := terrane.KVGetVersion("v")
	_, second := terrane.KVPut("v", "two", version, 0)
	_, third := terrane.KVPut("v", "three", terrane.AnyVersion, 60)
	last, _ := terrane.KVGet("v")
	_, none := terrane.KVGetVersion("w")
	return fmt.Sprint(!again, " ", value, " ", first != 0 && version == first, " ", second, " ", third, " ", last, " ", none == terrane.Absent)
}

func stream(url string) {
	resp, body, err := terrane.Call{Method: "GET", URL: url}.Stream()
	if err == nil {
		err = terrane.Answer(201, terrane.Header{"x-b": resp.Header["x-a"]})
	}
	for buffer := make([]byte, 64); err == nil; {
		var n int
		if n, err = body.Read(buffer); err == nil {
			err = terrane.SendChunk(buffer[:n])
		}
	}
	if err != io.EOF {
		panic(err)
	}
}

func async(urls []string) string {
	var pending []*terrane.Pending
	for _, url := range urls {
		p, err := terrane.Call{Method: "GET", URL: url}.Start()
		if err != nil {
			panic(err)
		}
		pending = append(pending, p)
	}
	_, early, _ := pending[0].Poll()
	place, resp, err := terrane.Select(pending)
	last, lastErr := pending[0].Wait()
	if early || err != nil || lastErr != nil {
		return fmt.Sprint(early, err, lastErr)
	}
	return fmt.Sprint("pending ", place, " ", resp.Status, " ", last.Status)
}

func more(name string) string {
	var out strings.Builder
	terrane.KVSet("v", "no number")
	for _, add := range []int64{5, -7} {
		sum, _ := terrane.KVIncrement("n", add, 0)
		fmt.Fprint(&out, sum, " ")
	}
	if _, err := terrane.KVIncrement("v", 1, 0); err != nil {
		out.WriteString("none ")
	}
	for _, key := range terrane.KVList("", "", 10) {
		out.WriteString(key + ";")
	}
	fmt.Fprint(&out, " ", len(terrane.Lookup(name, false)[0]), " ", len(terrane.Lookup(name, true)[0]))
	if terrane.Resolve([]byte("no message")) == nil {
		out.WriteString(" none")
	}
	return out.String()
}

func messages() string {
	kept := terrane.Publish("orders.new", "7") == nil
	answer, err := terrane.Request("orders.ask", "8")
	if err != nil {
		panic(err)
	}
	_, refused := terrane.Request("refused", "")
	return fmt.Sprintf("%t %d %s %v %v", kept, answer.Status, answer.Body, terrane.Publish("refused", ""), refused)
}
