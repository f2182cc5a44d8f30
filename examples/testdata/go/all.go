//go:build wasip1

// Uses what of the library no example does.
package main

import (
	"fmt"

	terrane "github.com/terrane/terrane/examples/sdk/go"
)

func main() {
	kept := terrane.Publish("orders.new", "7") == nil
	answer, err := terrane.Request("orders.ask", "8")
	if err != nil {
		panic(err)
	}
	_, refused := terrane.Request("refused", "")
	fmt.Printf("Content-Type: text/plain\n\n%t %d %s %v %v", kept, answer.Status, answer.Body, terrane.Publish("refused", ""), refused)
}
