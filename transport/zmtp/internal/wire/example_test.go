package wire_test

import (
	"fmt"

	"github.com/mdpmesh/mesh/transport/zmtp/internal/wire"
)

// A reader takes frame by frame from what has come, and stops where more is needed.
func ExampleParseHeader() {
	in := []byte("\x01\x03tea\x00\x05green\x00")
	for {
		h, n, err := wire.ParseHeader(in, 1<<20)
		if err != nil {
			fmt.Println(err)
			return
		}
		if n == 0 || len(in) < n+h.Size {
			fmt.Println("more is needed")
			return
		}
		fmt.Printf("%s, more: %v\n", in[n:n+h.Size], h.Flags&wire.More != 0)
		in = in[n+h.Size:]
	}
	// Output:
	// tea, more: true
	// green, more: false
	// more is needed
}

// The greeting says at once when the peer is none of ZeroMQ's.
func ExampleParseGreeting() {
	_, _, err := wire.ParseGreeting([]byte("GET / HTTP/1.1\r\n"))
	fmt.Println(err)
	// Output:
	// zmtp: greeting: not ZMTP: the peer begins with "GET "; is it HTTP?
}
