// A CGI program (RFC 3875): terrane puts the request into the environment and on
// standard input, and sends what the program writes.
package main

import (
	"fmt"
	"net/url"
	"os"
)

func main() {
	query, _ := url.ParseQuery(os.Getenv("QUERY_STRING"))
	name := "world"
	if query.Has("name") {
		name = query.Get("name")
	}
	fmt.Printf("Content-Type: text/plain; charset=utf-8\n\nHello, %s from Go!\n", name)
}
