//go:build wasip1

// The kit's CGI program in Go.
package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	check(err)
	file, err := os.ReadFile("/hello.txt")
	check(err)
	entries, err := os.ReadDir("/")
	check(err)
	time.Sleep(time.Millisecond)
	_, err = fmt.Fprintln(os.Stderr, "go on stderr")
	check(err)
	fmt.Printf("Status: 203 From Go\nContent-Type: text/plain\n\n%s %s %s %s %d",
		os.Getenv("REQUEST_METHOD"), os.Getenv("QUERY_STRING"), body, file, len(entries))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
