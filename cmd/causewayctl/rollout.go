package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// rolloutFlags are shared by the rollout commands.
type rolloutFlags struct {
	*flags
	namespace string
}

func rolloutCommand(f *flags) *cobra.Command {
	r := &rolloutFlags{flags: f}
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "Watch, hold and take back the rollout of a RoutingPolicy",
		Long: `Watch, hold and take back the rollout of a RoutingPolicy, as kubectl rollout does with
Deployments. Ask the cluster that the policy was applied in (--context): only its author's
object can be held or taken back.`,
	}
	cmd.PersistentFlags().StringVarP(&r.namespace, "namespace", "n", "default", "namespace of the policy")
	cmd.AddCommand(rolloutStatusCommand(r), rolloutHistoryCommand(r), rolloutPauseCommand(r), rolloutResumeCommand(r), rolloutUndoCommand(r))
	return cmd
}

// run is a command on one policy.
func (r *rolloutFlags) run(do func(ctx context.Context, api policyAPI) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		api, err := r.policyAPI(r.namespace, strings.TrimPrefix(args[0], "routingpolicy/"))
		if err != nil {
			return err
		}
		return do(cmd.Context(), api)
	}
}

func rolloutStatusCommand(r *rolloutFlags) *cobra.Command {
	watch, within := true, time.Duration(0)
	cmd := &cobra.Command{
		Use:   "status POLICY",
		Short: "Show how far a rollout has come, and wait until it ends",
		Long: `Show how far a rollout has come, and wait until it ends. Exits 0 when the newest version
holds everywhere, 1 when it was taken back, refused, or does not end within --timeout.`,
		Example: "  causewayctl rollout status checkout -n shop --timeout 10m",
		Args:    cobra.ExactArgs(1),
		RunE: r.run(func(ctx context.Context, api policyAPI) error {
			if within > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, within)
				defer cancel()
			}
			w := waiter{get: api.get, every: time.Second, say: r.say}
			if !watch {
				p, err := api.get(ctx)
				if err != nil {
					return err
				}
				return r.print(p.Status.Rollout, func(out io.Writer) { rolloutTable(out, p) })
			}
			p, err := w.wait(ctx)
			if r.output == "json" {
				err = errors.Join(r.print(p.Status.Rollout, nil), err)
			}
			return err
		}),
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", watch, "wait until it ends; --watch=false shows it once and exits 0")
	cmd.Flags().DurationVar(&within, "timeout", within, "how long to wait; 0 is for ever")
	return cmd
}

// say tells a person what goes on; a program reads only the end.
func (r *rolloutFlags) say(format string, args ...any) {
	if r.output != "json" {
		_, _ = fmt.Fprintf(r.out, format+"\n", args...)
	}
}

func rolloutHistoryCommand(r *rolloutFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "history POLICY",
		Short: "List the versions of a policy that rollout undo can go back to",
		Args:  cobra.ExactArgs(1),
		RunE: r.run(func(ctx context.Context, api policyAPI) error {
			p, err := api.get(ctx)
			if err != nil {
				return err
			}
			return r.print(append([]policyVersion{}, p.Status.History...), func(out io.Writer) { historyTable(out, p) })
		}),
	}
}

func rolloutPauseCommand(r *rolloutFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "pause POLICY",
		Short: "Let no further wave begin; gates go on watching those that have begun",
		Args:  cobra.ExactArgs(1),
		RunE:  r.run(func(ctx context.Context, api policyAPI) error { return r.change(ctx, api, (*policy).pause) }),
	}
}

func rolloutResumeCommand(r *rolloutFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "resume POLICY",
		Short: "Let a paused rollout go on from the wave that it stands in",
		Args:  cobra.ExactArgs(1),
		RunE:  r.run(func(ctx context.Context, api policyAPI) error { return r.change(ctx, api, (*policy).resume) }),
	}
}

func rolloutUndoCommand(r *rolloutFlags) *cobra.Command {
	var to int64
	cmd := &cobra.Command{
		Use:   "undo POLICY",
		Short: "Go back to an earlier version, everywhere at once",
		Long: `Go back to an earlier version, everywhere at once and without waves. The object's spec stays
as it is, and the next change of it ends the undo.`,
		Example: "  causewayctl rollout undo checkout -n shop --to-generation 4",
		Args:    cobra.ExactArgs(1),
		RunE: r.run(func(ctx context.Context, api policyAPI) error {
			return r.change(ctx, api, func(p *policy) (string, error) { return p.undo(to) })
		}),
	}
	cmd.Flags().Int64Var(&to, "to-generation", 0, "generation to go back to, of rollout history; 0 is the one before")
	return cmd
}

// change writes what edit makes of a policy's annotations, and says so.
func (r *rolloutFlags) change(ctx context.Context, api policyAPI, edit func(*policy) (string, error)) error {
	p, err := api.get(ctx)
	if err != nil {
		return err
	}
	before := p.Annotations[holdAnnotation] + "," + p.Annotations[undoAnnotation]
	said, err := edit(&p)
	if err != nil {
		return err
	}
	if before != p.Annotations[holdAnnotation]+","+p.Annotations[undoAnnotation] {
		if err := api.annotate(ctx, p); err != nil {
			return err
		}
	}
	if r.output == "json" {
		return r.print(map[string]string{"policy": p.Namespace + "/" + p.Name, "message": said}, nil)
	}
	return r.print(nil, func(out io.Writer) { _, _ = fmt.Fprintf(out, "routingpolicy/%s %s\n", p.Name, said) })
}

func rolloutTable(w io.Writer, p policy) {
	_, _ = fmt.Fprintln(w, "POLICY\tGENERATION\tFROM\tPHASE\tWAVE\tUPDATED\tREASON\tMESSAGE")
	s := p.Status.Rollout
	_, _ = fmt.Fprintf(w, "%s/%s\t%d\t%s\t%s\t%d/%d\t%d/%d\t%s\t%s\n", p.Namespace, p.Name, s.Generation, generation(s.From),
		orNone(s.Phase), s.Wave, s.Waves, s.Updated, s.Total, orNone(s.Reason), s.Message)
}

func historyTable(w io.Writer, p policy) {
	_, _ = fmt.Fprintln(w, "GENERATION\tREVISION\tREGIONS\tTARGETS\tNOTE")
	for _, v := range p.Status.History {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", v.Generation, generation(v.Revision),
			strings.Join(v.Regions, ","), strings.Join(v.Targets, ","), orNone(p.note(v.Generation)))
	}
}

// generation is a number, or none.
func generation(g int64) string { return unless(g == 0, fmt.Sprint(g)) }
