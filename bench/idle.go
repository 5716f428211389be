package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// idleRow is what idle clients cost one system at one size and one number of
// calls in flight.
type idleRow struct {
	System   string  `json:"system"`
	Size     int     `json:"size"`
	InFlight int     `json:"inFlight"`
	Clients  int     `json:"clients"`
	Without  figures `json:"without"` // rounds before they came and after they left
	With     figures `json:"with"`
	Ratio    figures `json:"ratio"` // with over without
	// Memory of the broker's process, bytes.
	ResidentWithout int64 `json:"residentWithout"`
	ResidentWith    int64 `json:"residentWith"`
	PerClient       int64 `json:"perClient"`
	// BrokerCPU is what part of a processor the broker takes while every client
	// is idle.
	BrokerCPU float64 `json:"brokerCPU"`
	Error     string  `json:"error,omitempty"`
}

// settle is how long memory may take to become what it stays.
const settle = 3 * time.Second

// measureIdle measures one system after the other, since idle clients aren't
// quite idle: they send heartbeats.
func measureIdle(ctx context.Context, o options, dir string, progress io.Writer) ([]idleRow, map[string]string, error) {
	var rows []idleRow
	absent := map[string]string{}
	for _, s := range o.systems {
		if s.broker == nil {
			absent[s.name] = "has no broker process"
			continue
		}
		d, err := deploy(ctx, s, o, dir)
		if err != nil {
			absent[s.name] = err.Error()
			continue
		}
		for _, size := range o.sizes {
			for _, inFlight := range o.inFlight {
				_, _ = fmt.Fprintf(progress, "%s, %d bytes, %d in flight, %d idle clients\n", s.name, size, inFlight, o.idle)
				r, err := idleOne(ctx, d, o, load{size: size, inFlight: inFlight, warmUp: o.warmUp, duration: o.duration})
				r.System, r.Size, r.InFlight, r.Clients = s.name, size, inFlight, o.idle
				if err != nil {
					r.Error = err.Error()
				}
				rows = append(rows, r)
			}
		}
		d.stop()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	return rows, absent, nil
}

// idleOne measures without idle clients, with them, and without them again.
func idleOne(ctx context.Context, d *deployment, o options, l load) (idleRow, error) {
	var (
		r             idleRow
		without, with row
		err           error
		broker        = d.broker().cmd.Process.Pid
	)
	rounds := func(into *row) error {
		for range o.rounds {
			s, err := d.measure(l)
			if err != nil {
				return err
			}
			into.add(s, nil)
		}
		return nil
	}
	if err := rounds(&without); err != nil {
		return r, err
	}
	<-time.After(settle)
	if r.ResidentWithout, err = residentBytes(broker); err != nil {
		return r, err
	}

	setting := d.setting
	setting.Clients, setting.Profile = o.idle, ""
	crowd, _, err := startProcess(ctx, d.system, idleRole, setting)
	if err != nil {
		return r, err
	}
	defer func() { crowd.stop() }()
	before, err := cpuTime([]int{broker})
	if err != nil {
		return r, err
	}
	<-time.After(settle)
	after, err := cpuTime([]int{broker})
	if err != nil {
		return r, err
	}
	r.BrokerCPU = (after - before).Seconds() / settle.Seconds()
	if r.ResidentWith, err = residentBytes(broker); err != nil {
		return r, err
	}
	r.PerClient = (r.ResidentWith - r.ResidentWithout) / int64(o.idle)
	if err := rounds(&with); err != nil {
		return r, err
	}

	crowd.stop()
	<-time.After(settle)
	if err := rounds(&without); err != nil {
		return r, err
	}
	r.Without, _ = medians(without.Rounds)
	r.With, _ = medians(with.Rounds)
	r.Ratio = r.With.over(r.Without)
	return r, nil
}

func (r report) writeIdle(line func(format string, args ...any)) {
	if len(r.Idle) == 0 {
		return
	}
	const mib = 1 << 20
	line("")
	line("system\tidle clients\tbytes\tin flight\tp50 µs\twith\t×\tp99 µs\twith\t×\tbroker MiB\twith\tKiB each\tCPU idle\t")
	for _, i := range r.Idle {
		line("%s\t%d\t%d\t%d\t%.1f\t%.1f\t%s\t%.1f\t%.1f\t%s\t%.1f\t%.1f\t%.1f\t%.1f %%\t", i.System, i.Clients, i.Size, i.InFlight,
			i.Without.P50, i.With.P50, times(i.Ratio.P50), i.Without.P99, i.With.P99, times(i.Ratio.P99),
			float64(i.ResidentWithout)/mib, float64(i.ResidentWith)/mib, float64(i.PerClient)/1024, 100*i.BrokerCPU)
	}
	for _, i := range r.Idle {
		if i.Error != "" {
			line("%s: %s", i.System, i.Error)
		}
	}
}
