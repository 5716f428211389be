package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a run found.
type report struct {
	Machine machine           `json:"machine"`
	Rows    []row             `json:"rows,omitempty"`
	Idle    []idleRow         `json:"idle,omitempty"`
	Absent  map[string]string `json:"absent,omitempty"` // systems that can't run here, and why
}

// machine says where and how the measurements were made.
type machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Load     string `json:"load"` // averages over 1, 5 and 15 min, before
	Pinned   []int  `json:"pinned,omitempty"`
	Clients  int    `json:"clients"`
	Workers  int    `json:"workers"`
	Rounds   int    `json:"rounds"`
	Duration string `json:"duration"`
	WarmUp   string `json:"warmUp"`
}

// figures are what one measurement, or the median of some, found; or how it
// stands to the same figures of another system.
type figures struct {
	Rate float64 `json:"requestsPerSecond"`
	P50  float64 `json:"p50us"`
	P99  float64 `json:"p99us"`
	CPU  float64 `json:"cpuSecondsPerMillion"`
}

// row is one system at one size and one number of calls in flight.
type row struct {
	System   string    `json:"system"`
	Size     int       `json:"size"`
	InFlight int       `json:"inFlight"`
	Rounds   []figures `json:"rounds"` // those that failed are zero
	Median   figures   `json:"median"`
	Against  string    `json:"against"`         // whom the ratio refers to
	Ratio    *figures  `json:"ratio,omitempty"` // median of the rounds' ratios
	Error    string    `json:"error,omitempty"` // of the round that failed last
}

// add adds a round.
func (r *row) add(s sample, err error) {
	if err != nil {
		r.Error = err.Error()
		r.Rounds = append(r.Rounds, figures{})
		return
	}
	r.Rounds = append(r.Rounds, s.figures())
}

func (s sample) figures() figures {
	if s.calls == 0 || s.elapsed <= 0 {
		return figures{}
	}
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	return figures{
		Rate: float64(s.calls) / s.elapsed.Seconds(),
		P50:  us(s.p50), P99: us(s.p99),
		CPU: s.cpu.Seconds() / float64(s.calls) * 1e6,
	}
}

// compareRows fills in the medians and ratios of the rows of one size and one
// number of calls in flight.
func compareRows(rows []row) {
	for i := range rows {
		rows[i].Median, _ = medians(rows[i].Rounds)
	}
	for i := range rows {
		at := slices.IndexFunc(rows, func(other row) bool { return other.System == rows[i].Against })
		if at < 0 {
			continue
		}
		// Round by round, so that what changes with time cancels out.
		ratios := make([]figures, min(len(rows[i].Rounds), len(rows[at].Rounds)))
		for n := range ratios {
			ratios[n] = rows[i].Rounds[n].over(rows[at].Rounds[n])
		}
		if m, ok := medians(ratios); ok {
			rows[i].Ratio = &m
		}
	}
}

// over returns the ratios of f to g, zeros where either was not measured.
func (f figures) over(g figures) figures {
	if f.Rate == 0 || g.Rate == 0 {
		return figures{}
	}
	return figures{Rate: f.Rate / g.Rate, P50: f.P50 / g.P50, P99: f.P99 / g.P99, CPU: f.CPU / g.CPU}
}

// medians returns the median of each figure over the rounds that didn't fail.
// It reports false where there are none.
func medians(rounds []figures) (figures, bool) {
	rounds = slices.DeleteFunc(slices.Clone(rounds), func(f figures) bool { return f.Rate == 0 })
	if len(rounds) == 0 {
		return figures{}, false
	}
	of := func(figure func(figures) float64) float64 {
		all := make([]float64, len(rounds))
		for i, r := range rounds {
			all[i] = figure(r)
		}
		return median(all)
	}
	return figures{
		Rate: of(func(f figures) float64 { return f.Rate }),
		P50:  of(func(f figures) float64 { return f.P50 }),
		P99:  of(func(f figures) float64 { return f.P99 }),
		CPU:  of(func(f figures) float64 { return f.CPU }),
	}, true
}

// median returns the middle of the values, or what is halfway between the two
// in the middle; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func (r report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func (r report) writeText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // Flush says what failed
	m := r.Machine
	line("%s, %d cores, %s, %s, load %s", m.CPU, m.Cores, m.Kernel, m.Go, m.Load)
	if len(m.Pinned) > 0 {
		line("pinned to %v", m.Pinned)
	}
	line("medians of %d rounds of %s after %s; connections: %d of clients, %d of workers", m.Rounds, m.Duration, m.WarmUp, m.Clients, m.Workers)
	for i, row := range r.Rows {
		if i == 0 || row.Size != r.Rows[i-1].Size || row.InFlight != r.Rows[i-1].InFlight {
			line("")
			line("%d bytes, %d in flight", row.Size, row.InFlight)
			line("system\treq/s\t×\tp50 µs\t×\tp99 µs\t×\tCPU s/M\t×\tcompared with\t")
		}
		f, x := row.Median, cmp.Or(row.Ratio, &figures{})
		line("%s\t%.0f\t%s\t%.1f\t%s\t%.1f\t%s\t%.2f\t%s\t%s\t", row.System,
			f.Rate, times(x.Rate), f.P50, times(x.P50), f.P99, times(x.P99), f.CPU, times(x.CPU), row.Against)
	}
	r.writeIdle(line)
	for _, row := range r.Rows {
		if row.Error != "" {
			line("")
			line("%s, %d bytes, %d in flight: %s", row.System, row.Size, row.InFlight, row.Error)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Absent)) {
		line("")
		line("%s: %s", name, strings.TrimSpace(r.Absent[name]))
	}
	return t.Flush()
}

// times writes a ratio; none is 0.
func times(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}
