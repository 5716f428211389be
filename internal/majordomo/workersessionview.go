package majordomo

import "slices"

// WorkerPhase says how far a worker's session is with a broker.
type WorkerPhase uint8

// The values of [WorkerPhase].
const (
	WorkerWaits     WorkerPhase = iota // not connected, and to be dialled after a while
	WorkerConnects                     // dialled, or connected and not registered yet
	WorkerRegisters                    // the answer to its registration is due
	WorkerServes
	WorkerLeaves // gets nothing new, as it is to end or an operator drained it there, and finishes what runs
	WorkerSpares // not connected, as there are more brokers than places
	WorkerStands // not connected but to ask who answers, as the broker is served over another address
)

// WorkerView is how a session stands with one broker.
type WorkerView struct {
	Broker      int // its number
	Phase       WorkerPhase
	Plain       bool   // it speaks MDP alone
	ID          string // what it calls itself, and this run of it; empty where it doesn't say
	Incarnation string
	Share       int   // of the worker's capacity
	Running     int   // requests of it that run
	Trouble     error // the last that was had with it since it took the worker; nil: none
}

var workerPhases = [...]WorkerPhase{
	workerIdle: WorkerWaits, workerParked: WorkerStands, workerDialing: WorkerConnects, workerProbing: WorkerStands, workerConnected: WorkerConnects,
	workerJoining: WorkerRegisters, workerServing: WorkerServes, workerLeaving: WorkerLeaves, workerLastJobs: WorkerLeaves,
}

// View returns how the session stands with each broker.
func (s *WorkerSession) View() []WorkerView {
	views := make([]WorkerView, 0, len(s.links)+len(s.spares))
	for _, l := range s.links {
		v := WorkerView{
			Broker: l.broker, Phase: workerPhases[l.state], Share: l.share.size, Running: l.jobs.n, Trouble: l.trouble,
		}
		switch {
		case l.state == workerDialing && l.twin != nil:
			v.Phase = WorkerStands
		case l.state == workerServing && l.share.drained:
			v.Phase = WorkerLeaves
		}
		if l.talks() {
			v.Plain, v.ID, v.Incarnation = l.plain, l.identity.Broker, l.identity.Incarnation
		}
		views = append(views, v)
	}
	for _, l := range s.spares {
		views = append(views, WorkerView{Broker: l.broker, Phase: WorkerSpares, Trouble: l.trouble})
	}
	return views
}

// Uses says whether the session knows a broker of that number, or still has something
// to do with one. Otherwise the number may be given to another broker.
func (s *WorkerSession) Uses(broker int) bool {
	is := func(l *workerLink) bool { return l.broker == broker }
	return slices.ContainsFunc(s.links, is) || slices.ContainsFunc(s.spares, is)
}
