package mdp_test

import (
	"errors"
	"fmt"

	"github.com/mdpmesh/mesh/internal/mdp"
)

// A broker reads a client's request and hands it to a worker, here one that
// speaks the other version.
func ExampleParseBroker() {
	request, err := mdp.ParseBroker([][]byte{{}, []byte("MDPC01"), []byte("tea"), []byte("one cup")})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%v %v for %s\n", request.Version, request.Kind, request.Service)

	handed := mdp.Command{
		Version: mdp.V02,
		Kind:    mdp.WorkerRequest,
		Address: mdp.AppendToken(nil, 42),
		Body:    request.Body,
	}
	fmt.Printf("%q\n", handed.AppendTo(nil))
	// Output:
	// MDP/0.1 client request for tea
	// ["MDPW02" "\x02" "000000000000002a" "" "one cup"]
}

// A parse error says which frame is wrong and, for a dialect that is known, what
// to do.
func ExampleParseError() {
	_, err := mdp.ParseBroker([][]byte{{}, []byte("MDPW02"), {1}, []byte("tea")})
	if parseErr, ok := errors.AsType[*mdp.ParseError](err); ok {
		fmt.Println("frame", parseErr.Frame)
		fmt.Println(parseErr.Reason)
	}
	// Output:
	// frame 1
	// header MDPW02 behind an empty frame: a message of MDP/0.2 begins with its header (RFC 18); send no empty frame, use DEALER and not REQ
}
