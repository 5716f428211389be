package meshtest_test

import (
	"context"
	"fmt"

	"github.com/mdpmesh/mesh"
	"github.com/mdpmesh/mesh/meshtest"
)

func Example() {
	t := new(recorder) // stands for a test's *testing.T
	defer func() {
		for _, end := range t.cleanups {
			end()
		}
	}()

	type Beans struct {
		Kind string `json:"kind"`
	}
	roast := mesh.NewMethod[Beans, int]("roastery.roast") // a service that the test doesn't want to run

	m := meshtest.New(t)
	m.Stub(meshtest.Reply(roast, 250))
	grams, err := roast.Call(context.Background(), m.Client(), Beans{Kind: "arabica"})
	fmt.Println(grams, err)

	for _, call := range meshtest.Calls(m, roast) {
		fmt.Println(call.Params.Kind, "for", call.Caller, "at", call.Worker)
	}
	replied := m.Wait(meshtest.Event(mesh.EventReplied).Method("roastery.roast"))
	fmt.Println(replied.Kind, "by", replied.Instance)
	// Output:
	// 250 <nil>
	// arabica for client-1 at stub-roastery
	// replied by stub-roastery
}
