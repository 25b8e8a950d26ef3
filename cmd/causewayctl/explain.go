package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/explain"
)

func explainCommand(f *flags) *cobra.Command {
	var from, namespace string
	cmd := &cobra.Command{
		Use:   "explain SERVICE --from CLUSTER",
		Short: "Show every candidate for a service's traffic, in or out, and by which rule",
		Long: `Show every cluster that exports a service, as the operator of the consuming
cluster weighed it: in or out, in which tier, by which rule, and how old each
input was. SERVICE is name, namespace/name or namespace/name:port; --from is the
consuming cluster: the kubeconfig context of that name.`,
		Example: "  causewayctl explain checkout -n shop --from eu-west\n  causewayctl explain shop/checkout:80 --from eu-west -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from == "" {
				from = f.context
			}
			op, err := f.leader(cmd.Context(), from)
			if err != nil {
				return err
			}
			service := args[0]
			if !strings.Contains(service, "/") {
				service = namespace + "/" + service
			}
			var answer []explain.Service
			if err := op.get(cmd.Context(), "v1/explain", map[string]string{"service": service}, &answer); err != nil {
				return err
			}
			if len(answer) == 0 {
				return fmt.Errorf("service %s is not imported in this cluster: no cluster of the federation exports it, or its namespace does not exist here", service)
			}
			return f.print(answer, func(w io.Writer) { explainTable(w, answer) })
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the consuming cluster: its kubeconfig context (default: --context, then the current one)")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "default", "namespace of a SERVICE given without one")
	return cmd
}

func explainTable(w io.Writer, services []explain.Service) {
	for i, s := range services {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = fmt.Fprintf(w, "%s:%d from %s goes to %s\n", s.Service, s.Port, s.From, orNone(s.Goes))
		_, _ = fmt.Fprintf(w, "Ordered by %s\n", s.Rule)
		_, _ = fmt.Fprintf(w, "On a partition: %s; records: %s\n\n", orNone(s.OnPartition), maxAge(s.MaxRecordAgeMS))
		_, _ = fmt.Fprintln(w, "CLUSTER\tREGION\tIN\tTIER\tWHY\tREADY\tCAP\tLOAD\tERRORS\tZONES\tHEALTH AGE\tVERDICT\tFOR\tRTT\tCAUSE")
		for _, c := range s.Candidates {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Cluster, c.Region, in(c), unless(!c.In, fmt.Sprint(c.Tier)),
				c.Reason, ready(c), capacity(c), percent(c.LoadPerMille), percent(c.ErrorsPerMille), zones(c), unless(!c.HealthKnown, age(c.HealthAgeMS)), c.Verdict, unless(c.Cluster == s.From, age(c.VerdictAgeMS)), rtt(c.RTTMS), c.VerdictCause)
		}
	}
}

func maxAge(ms int64) string {
	if ms == 0 {
		return "of any age"
	}
	return "at most " + age(ms) + " old"
}

func in(c explain.Candidate) string {
	switch {
	case c.LastResort:
		return "last resort"
	case c.In:
		return "in"
	}
	return "out"
}

func ready(c explain.Candidate) string {
	if !c.HealthKnown {
		return "unknown"
	}
	return fmt.Sprintf("%d/%d", c.Ready, c.Total)
}

func capacity(c explain.Candidate) string { return unless(c.Capacity == 0, fmt.Sprint(c.Capacity)) }

// percent shows thousandths; what has not been measured is no number.
func percent(perMille *uint16) string {
	if perMille == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", float64(*perMille)/10)
}

func zones(c explain.Candidate) string {
	var out []string
	for _, z := range c.Zones {
		out = append(out, fmt.Sprintf("%s=%d/%d", z.Zone, z.Ready, z.Total))
	}
	return orNone(strings.Join(out, " "))
}
