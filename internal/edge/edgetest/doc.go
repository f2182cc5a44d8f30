// Package edgetest runs whole edges in the process of a test: with folders or a git
// repository as stores, DNS of their own, and free ports of the loopback interface.
package edgetest
