// Package netns tests a mesh on a real network: three brokers, four workers and four
// clients, each a process in a network namespace of its own, joined by a bridge. Links
// are cut, also one way, made slow and lossy, and healed; processes are killed, stopped
// for a while and restarted; all under load. It consists of these tests.
//
// The brokers are the command itself, cmd/mesh. Workers and clients are this package's
// test binary in another role (load_test.go), which tells on standard output, as lines
// of JSON, how each call ended and what ran; a ledger (ledger_test.go) holds the mesh
// to its promises by that.
//
// The tests need Linux, the right to make namespaces (root has it; elsewhere user
// namespaces may give it), /dev/net/tun, and the programs ip and tc (Debian: iproute2).
// Where something is missing they are skipped; they fail instead where the environment
// variable MESH_REQUIRE names the leg "netns". Everything happens in a process
// namespace and a network namespace around the whole test, so nothing is left behind
// however a test ends, and nothing outside can be hit.
//
// A plain "go test" runs a short scenario. The others run with the flag -netns, which
// MESH_REQUIRE=netns implies:
//
//	go test -count=1 ./internal/netns -netns -v
//	go test -count=1 ./internal/netns -netns -v -run Crowd -rest 10m
//
// Loss and delay are made by tc netem where the kernel has it, else by a relay between
// two tap devices that stand for the link (relay_test.go). The test's log says which.
package netns
