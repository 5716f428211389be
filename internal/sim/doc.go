// Package sim runs many brokers, workers and clients of package majordomo in one
// loop, in virtual time, from one seed, and holds them to what mesh promises.
//
// A [World] has a network whose connections are lost, delayed, partitioned and held
// up, machines that crash, stop and have their clocks jump, handlers that are slow or
// stuck, and callers that give up. All of it is drawn from the seed of its [Plan], so
// the same seed is the same world, message by message.
//
// Beside it stands a ledger, which hears what callers were told, which handlers ran
// and what was on the wire, and knows nothing of what is inside the engines. It finds
// a promise broken at the step that breaks it; what can be known only when all is
// quiet is looked at in the end, after everything was healed.
//
// Package sim is made for its own tests:
//
//	go test ./internal/sim -run TestSim -seeds 10000
//	go test ./internal/sim -run TestSim -seed 4711
//
// The second replays one seed and writes what happened as text.
package sim
