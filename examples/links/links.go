//go:build wasip1

// A URL shortener: POST url=https://... makes a link below the path it was sent to,
// GET follows it. A CGI program that keeps its links in the tenant's key-value store.
package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"

	terrane "github.com/terrane/terrane/examples/sdk/go"
)

func main() {
	switch os.Getenv("REQUEST_METHOD") {
	case "POST":
		shorten()
	case "GET", "HEAD":
		follow(path.Base(requestPath()))
	default:
		reply("405 Method Not Allowed", "Allow: GET, HEAD, POST", "GET or POST")
	}
}

// requestPath is the whole path. (PATH_INFO is what follows the part that names the module:
// nothing where /links led here.)
func requestPath() string {
	path, _, _ := strings.Cut(os.Getenv("REQUEST_URI"), "?")
	return path
}

func shorten() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		reply("400 Bad Request", "", err.Error())
		return
	}
	form, _ := url.ParseQuery(string(body))
	target, err := url.Parse(form.Get("url"))
	if err != nil || (target.Scheme != "https" && target.Scheme != "http") || target.Host == "" {
		reply("422 Unprocessable Content", "", "want url=https://...")
		return
	}
	name := strings.ToLower(rand.Text()[:8])
	for !terrane.KVAdd("link/"+name, target.String()) { // taken by another link
		name = strings.ToLower(rand.Text()[:8])
	}
	place := strings.TrimSuffix(requestPath(), "/") + "/" + name
	reply("201 Created", "Location: "+place, place)
}

func follow(name string) {
	target, ok := terrane.KVGet("link/" + name)
	if !ok {
		reply("404 Not Found", "", "no such link")
		return
	}
	reply("302 Found", "Location: "+target, target)
}

func reply(status, header, text string) {
	fmt.Printf("Status: %s\nContent-Type: text/plain; charset=utf-8\n", status)
	if header != "" {
		fmt.Println(header)
	}
	fmt.Printf("\n%s\n", text)
}
