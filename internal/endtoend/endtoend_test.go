package endtoend_test

import (
	"fmt"
	"testing"

	"github.com/mdpmesh/mesh/internal/endtoend"
	"github.com/mdpmesh/mesh/transport/inproc"
)

func TestInproc(t *testing.T) {
	endtoend.Run(t, func(*testing.T) endtoend.Fixture {
		network, n := inproc.New(inproc.Config{}), 0
		return endtoend.Fixture{Broker: network, Peer: network.As("peer"), Name: "peer", Addr: func() string {
			n++
			return fmt.Sprintf("inproc://%d", n)
		}}
	})
}
