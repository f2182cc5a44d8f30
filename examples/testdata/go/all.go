//go:build wasip1

// Uses what of the library no example does.
package main

import (
	"fmt"
	"os"
	"strings"

	terrane "github.com/terrane/terrane/examples/sdk/go"
)

func main() {
	if os.Getenv("SCRIPT_NAME") == "/large" {
		fmt.Print("Content-Type: text/plain\n\n")
		for range 3 {
			if _, err := fmt.Print(strings.Repeat("x", 128<<10)); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		return
	}
	if os.Getenv("SCRIPT_NAME") == "/sent" {
		_, err := terrane.Fetch("GET", "http://192.0.2.1/", terrane.Header{"x": {"\n"}}, "")
		fmt.Printf("Content-Type: text/plain\n\n%v", err)
		return
	}
	kept := terrane.Publish("orders.new", "7") == nil
	answer, err := terrane.Request("orders.ask", "8")
	if err != nil {
		panic(err)
	}
	_, refused := terrane.Request("refused", "")
	fmt.Printf("Content-Type: text/plain\n\n%t %d %s %v %v", kept, answer.Status, answer.Body, terrane.Publish("refused", ""), refused)
}
