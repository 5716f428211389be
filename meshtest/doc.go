// Package meshtest runs a mesh for a test: brokers, workers and clients over an
// in-memory network that can be made to fail.
//
//	func TestBrew(t *testing.T) {
//		m := meshtest.New(t, tea)
//		cup, err := Brew.Call(t.Context(), m.Client(), Order{Sugar: 1})
//		...
//	}
//
// The mesh ends with its test, and fails it where something of the mesh doesn't
// end. When a test failed its log shows the last messages between the ends, and
// the directory of its artifacts (go test -artifacts) holds all of them, with the
// brokers' events.
//
// # Virtual time
//
// In a bubble of package testing/synctest the mesh runs in virtual time, so that
// lost heartbeats, timeouts and retries take no time at all:
//
//	func TestFailover(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			m := meshtest.Config{Brokers: 2}.New(t, tea)
//			m.Crash("broker-1")
//			m.Wait(meshtest.Event(mesh.EventWorkerJoined).Broker("broker-2"))
//			...
//		})
//	}
//
// The mesh has to be made in the bubble. Outside of one it runs in real time.
//
// # Names
//
// The ends of a mesh have names, by which faults and waiting refer to them:
// brokers are "broker-1" and so on, workers are named by WorkerConfig.Instance, or
// "worker-1" and so on, clients by ClientConfig.Name, or "client-1" and so on; the
// first of these is [Mesh.Client]. The worker that stands in for a service is
// "stub-" and the service's name. Brokers see workers and clients as authenticated
// under their names.
//
// # What a test can do
//
//   - Stand in for services that it doesn't want to run: [Mesh.Stub].
//   - See what handlers were called with: [Calls].
//   - Wait for an event of a broker instead of sleeping: [Mesh.Wait].
//   - Cut, kill and lose: [Mesh.Partition], [Mesh.Kill], [Mesh.Crash],
//     [Mesh.SetFaults].
//
// A mesh keeps all events and calls of its test, so it is not for benchmarks.
//
// The seed of a mesh repeats the faults of [Mesh.SetFaults] (see package faulty).
// It doesn't repeat the random waits between attempts of workers and clients.
package meshtest
