// Command answers a request as a CGI program: TestCommand makes a component of it.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil || string(body) == "fail" {
		os.Exit(3)
	}
	fmt.Printf("Status: 201 Created\nContent-Type: text/plain\n\n%s %s %s", os.Getenv("REQUEST_METHOD"), os.Getenv("QUERY_STRING"), body)
	fmt.Fprintln(os.Stderr, "answered")
}
