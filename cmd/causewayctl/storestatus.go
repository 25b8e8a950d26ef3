package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

// storeReport is a status with what follows from it.
type storeReport struct {
	admin.Status
	Findings []admin.Finding `json:"findings"`
}

func storeStatusCommand(s *storeFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the store's members, size, alarms and keys, and what to do",
		Long: `Show the store's members, size, alarms and keys, and what to do about each finding.
Exit code 1 if the quorum is missing or an alarm is on.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.with(cmd.Context(), warn, func(a *admin.Admin) error {
				st, err := a.Status(cmd.Context())
				if err != nil {
					return err
				}
				report := storeReport{st, st.Findings()}
				if err := s.print(report, func(w io.Writer) { storeTable(w, report) }); err != nil {
					return err
				}
				if st.Critical() {
					return errors.New("the policy store needs somebody now: see the findings marked CRITICAL")
				}
				return nil
			})
		},
	}
}

func storeTable(w io.Writer, s storeReport) {
	auth := "unknown"
	if s.AuthKnown {
		auth = map[bool]string{true: "on", false: "off"}[s.Auth]
	}
	_, _ = fmt.Fprintf(w, "Policy store %d, revision %d, quorum %t, authentication %s\n\n", s.StoreID, s.Revision, s.Quorum, auth)
	_, _ = fmt.Fprintln(w, "MEMBER\tENDPOINT\tROLE\tVERSION\tSIZE\tIN USE\tQUOTA\tTROUBLE")
	for _, m := range s.Members {
		known := m.Fault == ""
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", orNone(m.Name), orNone(m.Endpoint), memberRole(m), orNone(m.Version),
			unless(!known, mebibytes(m.DBBytes)), unless(!known, mebibytes(m.UsedBytes)), unless(m.QuotaBytes == 0, mebibytes(m.QuotaBytes)), orNone(m.Fault))
	}
	_, _ = fmt.Fprintln(w, "\nFEDERATION\tKIND\tCLUSTER\tKEYS")
	for _, k := range s.Keys {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\n", k.Federation, k.Kind, orNone(k.Cluster), k.Keys)
	}
	findingsTable(w, s.Findings)
}

func findingsTable(w io.Writer, findings []admin.Finding) {
	_, _ = fmt.Fprintln(w)
	if len(findings) == 0 {
		_, _ = fmt.Fprintln(w, "Nothing to do.")
	}
	for _, f := range findings {
		_, _ = fmt.Fprintf(w, "%s: %s. Do: %s\n", f.Severity, f.What, f.Do)
	}
}

func memberRole(m admin.Member) string {
	switch {
	case m.Fault != "" && !m.Learner:
		return "voter?"
	case m.Learner:
		return "learner"
	case m.Leader:
		return "leader"
	}
	return "follower"
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1fMiB", float64(n)/(1<<20)) }

func storeCompactCheckCommand(s *storeFlags) *cobra.Command {
	var federationName string
	cmd := &cobra.Command{
		Use:   "compact-check --federation NAME",
		Short: "Show how far the store's history may be compacted, and whether it is",
		Long: `Show how much history the store keeps, the lowest revision that a present cluster has
applied, and whether automatic compaction does its work. Nothing is changed. A cluster
whose watch breaks at a revision that is compacted away reads everything anew; it loses
nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if federationName == "" {
				return errors.New("--federation is empty: give the federation's name")
			}
			return s.with(cmd.Context(), warn, func(a *admin.Admin) error {
				c, err := a.CompactCheck(cmd.Context(), federationName)
				if err != nil {
					return err
				}
				return s.print(c, func(w io.Writer) { compactTable(w, c) })
			})
		},
	}
	cmd.Flags().StringVar(&federationName, "federation", "", "the federation (required)")
	return cmd
}

func compactTable(w io.Writer, c admin.Compaction) {
	_, _ = fmt.Fprintf(w, "Revision %d; history begins at %d\n", c.Revision, c.Oldest)
	if to := c.MayCompactTo(); to > 0 {
		_, _ = fmt.Fprintf(w, "Every present cluster has applied revision %d: compaction may go that far\n", to)
	} else {
		_, _ = fmt.Fprintln(w, "No cluster is present, so none needs history")
	}
	_, _ = fmt.Fprintln(w, "\nCLUSTER\tAPPLIED\tBEHIND")
	for _, a := range c.Applied {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\n", a.Cluster, a.Revision, max(0, c.Revision-a.Revision))
	}
	findingsTable(w, c.Findings())
}
