package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/explain"
)

func statusCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show members with their verdicts, gateways, the policy store and services",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			op, err := f.leader(cmd.Context(), f.context)
			if err != nil {
				return err
			}
			var s explain.Status
			if err := op.get(cmd.Context(), "v1/status", nil, &s); err != nil {
				return err
			}
			return f.print(s, func(w io.Writer) { statusTable(w, s) })
		},
	}
}

// print writes v as the --output flag asks.
func (f *flags) print(v any, table func(io.Writer)) error {
	switch f.output {
	case "json":
		enc := json.NewEncoder(f.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "table":
		w := tabwriter.NewWriter(f.out, 0, 4, 2, ' ', 0)
		table(w)
		return w.Flush()
	default:
		return fmt.Errorf("--output %q: want table or json", f.output)
	}
}

func statusTable(w io.Writer, s explain.Status) {
	_, _ = fmt.Fprintf(w, "Federation %s as cluster %s sees it (operator %s, epoch %d)\n", s.Federation, s.Cluster, s.Replica, s.Epoch)
	_, _ = fmt.Fprintf(w, "Policy store: %s, revision %d, proved %s ago%s\n", s.Store.Reason, s.Store.Revision, age(s.Store.AgeMS), note(s.Store.Message))
	_, _ = fmt.Fprintf(w, "Gossip: %s, %d other members answer%s\n", s.Gossip.Reason, s.Gossip.Alive, note(s.Gossip.Message))
	if s.NameConflict != "" {
		_, _ = fmt.Fprintf(w, "NAME CONFLICT: %s\n", s.NameConflict)
	}
	if s.APIServerLost {
		_, _ = fmt.Fprintln(w, "API SERVER LOST: this cluster's API server does not answer its operator; routes stay as they are")
	}
	_, _ = fmt.Fprintln(w, "\nMEMBER\tREGION\tVERDICT\tFOR\tPROOF\tRTT\tCAUSE")
	for _, m := range s.Members {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.Region, m.Verdict,
			unless(m.Self, age(m.AgeMS)), unless(m.Self, age(m.ProofMS)), rtt(m.RTTMS), m.Cause)
	}
	_, _ = fmt.Fprintln(w, "\nFROM\tTO\tSTATE\tRTT\tJITTER\tLOSS\tMEASURED")
	for _, l := range s.Matrix {
		if l.Estimated {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t~%s\t-\t-\testimated\n", l.From, l.To, l.State, rtt(l.RTTMS))
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s ago\n", l.From, l.To, l.State,
			rtt(l.RTTMS), rtt(l.JitterMS), unless(l.RTTMS == 0, fmt.Sprintf("%.1f%%", 100*l.Loss)), age(l.AgeMS))
	}
	_, _ = fmt.Fprintln(w, "\nGATEWAY\tCONNECTED\tADVERTISES\tTABLE\tTROUBLE")
	for _, g := range s.Gateways {
		_, _ = fmt.Fprintf(w, "%s\t%t\t%s\t%d/%d%s\t%s\n", g.Instance, g.Connected, g.Advertise, g.TableEpoch, g.Table, behind(g), trouble(g))
	}
	_, _ = fmt.Fprintln(w, "\nSERVICE\tPORT\tGOES TO\tREADY\tCAP\tLOAD\tERRORS\tRULE")
	for _, svc := range s.Services {
		c := goesTo(svc)
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", svc.Service, svc.Port, orNone(svc.Goes),
			unless(svc.Goes == "", ready(c)), capacity(c), percent(c.LoadPerMille), percent(c.ErrorsPerMille), svc.Rule)
	}
}

// goesTo is the candidate that a service's new connections go to; zero if there is none.
func goesTo(s explain.Service) explain.Candidate {
	for _, c := range s.Candidates {
		if c.Cluster == s.Goes {
			return c
		}
	}
	return explain.Candidate{}
}

func trouble(g explain.Gateway) string {
	var out []string
	for port, reason := range g.FailedPorts {
		out = append(out, port+": "+reason)
	}
	for cluster, reason := range g.Untrusted {
		out = append(out, cluster+": "+reason)
	}
	if g.Draining {
		out = append(out, "draining")
	}
	return orNone(strings.Join(out, "; "))
}

func behind(g explain.Gateway) string {
	if g.Behind {
		return " (behind)"
	}
	return ""
}

func age(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d >= 10*time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func rtt(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fms", ms)
}

func note(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

func unless(not bool, s string) string {
	if not {
		return "-"
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
