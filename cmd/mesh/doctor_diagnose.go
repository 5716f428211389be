package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mdpmesh/mesh/internal/beacon"
	"github.com/mdpmesh/mesh/transport"
)

// maxApart is how far clocks may be apart before that is called trouble. Deadlines
// travel as remaining time and don't care, but logs and journals are compared.
const maxApart = time.Second

// diagnose says what is wrong in a report, and what to do about it.
func diagnose(r *report) []trouble {
	all := []trouble{}
	if r.Cluster != "" {
		all = append(all, r.ofInterfaces()...)
		all = append(all, r.ofRefusals()...)
	}
	if len(r.Brokers) == 0 {
		all = append(all, trouble{
			"brokers", "none is heard, and none was named",
			"run one with mesh broker --announce, with the same --cluster and --cluster-keyfile, on this machine or on a network that it shares; " +
				"where multicast doesn't pass, as in most clouds, name brokers with --broker dns://host:port",
		})
	}
	for i := range r.Brokers {
		all = append(all, r.ofBroker(&r.Brokers[i])...)
	}
	return append(all, r.ofVersions()...)
}

func (r *report) ofInterfaces() (all []trouble) {
	if len(r.Interfaces) == 0 {
		return []trouble{{
			"network", "no interface takes part",
			"bring one up that takes multicast (ip link), or look at the names given with --beacon-interface",
		}}
	}
	for _, n := range r.Interfaces {
		about := n.Name + " " + n.Family
		switch {
		case n.Error != "":
			all = append(all, trouble{about, "multicast fails: " + n.Error, "look at the interface's addresses and routes (ip address, ip route), or leave it out with --beacon-interface"})
		case n.Sent > 0 && n.Returned == 0:
			all = append(all, trouble{about, "nothing of what was sent came back", fmt.Sprintf(
				"let a firewall on this machine pass UDP port %d to the groups %s (nft list ruleset)", r.Port, groups())})
		}
	}
	return all
}

func groups() string {
	var all []string
	for _, g := range beacon.DefaultGroups() {
		all = append(all, g.String())
	}
	return strings.Join(all, " and ")
}

// refusals has the advice for each reason. Beacons of other clusters are nobody's fault.
var refusals = map[string]struct{ problem, advice string }{
	beacon.WrongMAC.String():     {"was made with another cluster key, or with none", "give that machine the same --cluster-keyfile, or find out who poses as a broker there"},
	beacon.Unpinned.String():     {"has a server key that isn't the one given", "compare --server-key with the broker's, or give the cluster's key with --cluster-keyfile and no --server-key"},
	beacon.Expired.String():      {"was sent long ago by this machine's clock, or repeats an old one", "set the clocks of both machines (NTP)"},
	beacon.Early.String():        {"was sent in the future by this machine's clock", "set the clocks of both machines (NTP)"},
	beacon.Replayed.String():     {"isn't newer than one before", "give each broker an --id of its own, and look whether somebody repeats what was heard"},
	beacon.OtherVersion.String(): {"has a version of the format that this command doesn't know", "use the same release of mesh on both machines"},
	beacon.Malformed.String():    {"is none", "another program uses the port; choose another one with --beacon-port, everywhere"},
	beacon.Oversized.String():    {"is none: it is too long", "another program uses the port; choose another one with --beacon-port, everywhere"},
	beacon.Misdirected.String():  {"has no address that can be dialled from here", "have the broker listen at an address of that network, or at tcp://*:port"},
	beacon.Crowded.String():      {"is from one broker too many", "look who announces so many; a mesh has a few"},
}

func (r *report) ofRefusals() (all []trouble) {
	for _, f := range r.Refused {
		known, ok := refusals[f.Why]
		if !ok || f.Why == beacon.Misdirected.String() && f.Broker == "" { // to another group of the same port
			continue
		}
		problem := "a beacon from there " + known.problem
		if f.ClockMS != 0 {
			problem += fmt.Sprintf(" (%v apart)", (time.Duration(f.ClockMS) * time.Millisecond).Abs().Round(time.Second))
		}
		about := f.From
		if f.Interface != "" {
			about += " on " + f.Interface
		}
		if f.Broker != "" {
			about += ", broker " + f.Broker
		}
		all = append(all, trouble{about, problem, known.advice})
	}
	return all
}

func (r *report) ofBroker(b *brokerReport) (all []trouble) {
	about := b.Addr
	if b.ID != "" {
		about = b.ID + " at " + b.Addr
	}
	add := func(problem, advice string) { all = append(all, trouble{about, problem, advice}) }
	if !b.Answers {
		add("it doesn't answer: "+b.Error, r.adviceOn(b))
	}
	if b.Answers && b.Announced && !b.Plain && b.AnswersAs != b.ID {
		add("another broker answers there, "+b.AnswersAs, "find out which of the two should be at this address, and stop the other")
	}
	if b.ClockMS != nil {
		if apart := time.Duration(*b.ClockMS) * time.Millisecond; apart.Abs() > maxApart {
			add(fmt.Sprintf("its clock differs from this machine's by %v", apart), "set the clocks of both machines (NTP); beyond "+beacon.DefaultWindow.String()+" it won't be found any more")
		}
	}
	return all
}

// adviceOn says what to do about a broker that doesn't answer.
func (r *report) adviceOn(b *brokerReport) string {
	switch {
	case b.ServerKey != "" && !r.hasKeys:
		return "it wants CURVE: give your keys with --curve-keyfile (mesh keygen makes them), and enter the public one in its --authorize file"
	case b.ServerKey == "" && r.hasKeys:
		return "it announces no server key: start it with --curve-keyfile, or ask it without yours"
	case errors.Is(b.refusal, transport.ErrRefused):
		return "look whether the broker runs and listens there, and whether a firewall refuses the port"
	case b.ServerKey != "":
		return "look whether the server key is the broker's, and whether its --authorize file has your public key"
	case errors.Is(b.refusal, transport.ErrAddress):
		return "give it as tcp://host:port, ipc://path, dns://host:port or srv://name"
	}
	return "look whether the address can be reached from here (ping, firewalls), and whether a broker without CURVE is there"
}

// ofVersions compares the brokers' versions with each other and with this command's.
func (r *report) ofVersions() []trouble {
	versions := []string{r.Version}
	var told []string
	for _, b := range r.Brokers {
		if b.Version == "" {
			continue
		}
		told = append(told, b.AnswersAs+" has "+b.Version)
		if !slices.Contains(versions, b.Version) {
			versions = append(versions, b.Version)
		}
	}
	if len(versions) == 1 {
		return nil
	}
	return []trouble{{
		"versions", fmt.Sprintf("they don't agree: %s, this command %s", strings.Join(told, ", "), r.Version),
		"bring all to the same release, unless an upgrade is under way",
	}}
}
