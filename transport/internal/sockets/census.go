package sockets

import "fmt"

// Census counts the connections of a listener, all and by host. It is used under
// the listener's mutex.
type Census struct {
	Total int

	most, mostPerHost int
	hosts             map[string]int
}

// NewCensus returns one that allows so many connections (Config.MaxConnections,
// Config.MaxConnectionsPerHost).
func NewCensus(most, mostPerHost int) Census {
	return Census{most: most, mostPerHost: mostPerHost, hosts: make(map[string]int)}
}

// Enter counts a connection of a host; empty: it has none, and only the total is
// bounded. Where there are too many it doesn't count, and the error names the
// limit.
func (c *Census) Enter(host string) error {
	switch {
	case c.Total >= c.most:
		return fmt.Errorf("%d connections (Config.MaxConnections)", c.Total)
	case host != "" && c.hosts[host] >= c.mostPerHost:
		return fmt.Errorf("%d connections of one host (Config.MaxConnectionsPerHost)", c.hosts[host])
	}
	c.Total++
	if host != "" {
		c.hosts[host]++
	}
	return nil
}

// Leave forgets a connection that Enter counted.
func (c *Census) Leave(host string) {
	c.Total--
	if host == "" {
		return
	}
	if c.hosts[host]--; c.hosts[host] == 0 {
		delete(c.hosts, host)
	}
}
