package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/causeway-mesh/causeway/federation/explain"
)

// The exit codes of plan beside 0: nothing changes.
var (
	errChanges = errors.New("something changes")              // 2, and no message: the plan is one
	errRefused = errors.New("a policy would not be accepted") // 1
)

// planOptions is what a call of plan is about.
type planOptions struct {
	files     []string
	deletions []string
	namespace string
}

func planCommand(f *flags) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan -f FILE [--delete NAME]",
		Short: "Show what applying or deleting RoutingPolicies would change, in which cluster, for which service",
		Long: `Show what applying RoutingPolicies in a cluster, or deleting them, would change: for
each service and each cluster that calls it, where new connections go now and where
they would go. Nothing is written. The objects first pass the API server's own
validation (a dry run), then the cluster's leading operator predicts for all
clusters from what it knows.

Exit codes: 0 nothing changes, 2 something changes, 1 the plan cannot be made or a
policy would not be accepted.`,
		Example: `  causewayctl plan -f policy.yaml --context eu-west
  kubectl kustomize policies | causewayctl plan -f - -o json
  causewayctl plan --delete shop/evacuate-us-east`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.plan(cmd.Context(), cmd.InOrStdin(), o) },
	}
	cmd.Flags().StringArrayVarP(&o.files, "filename", "f", nil, "file with RoutingPolicies, one or several documents; - is standard input; may be repeated")
	cmd.Flags().StringArrayVar(&o.deletions, "delete", nil, "RoutingPolicy to be deleted, name or namespace/name; may be repeated")
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "namespace of objects given without one (default: the context's)")
	return cmd
}

func (f *flags) plan(ctx context.Context, stdin io.Reader, o planOptions) error {
	if f.output != "table" && f.output != "json" {
		return fmt.Errorf("--output %q: want table or json", f.output)
	}
	if len(o.files)+len(o.deletions) == 0 {
		return errors.New("nothing to plan: give -f FILE, or --delete NAME")
	}
	docs, err := readPolicies(o.files, stdin)
	if err != nil {
		return err
	}
	if len(docs)+len(o.deletions) == 0 {
		return fmt.Errorf("%s: there is no RoutingPolicy in it", strings.Join(o.files, ", "))
	}
	api, err := f.rehearsal(o.namespace)
	if err != nil {
		return err
	}
	request, err := api.request(ctx, docs, o.deletions)
	if err != nil {
		return err
	}
	op, err := f.leader(ctx, f.context)
	if err != nil {
		return err
	}
	var answer explain.Plan
	if err := op.post(ctx, "v1/plan", request, &answer); err != nil {
		return err
	}
	if err := f.print(answer, func(w io.Writer) { planText(w, answer) }); err != nil {
		return err
	}
	return verdict(answer)
}

// verdict is the plan as an exit code.
func verdict(p explain.Plan) error {
	switch {
	case p.Refused:
		return errRefused
	case p.Changes:
		return errChanges
	}
	return nil
}

// post asks as get does, with a body. It needs the right to create pods/proxy.
func (o *operator) post(ctx context.Context, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("writing the question: %w", err)
	}
	raw, err := o.client.CoreV1().RESTClient().Post().Namespace(o.namespace).Resource("pods").
		Name("http:"+o.pod+":"+adminPort).SubResource("proxy").Suffix(path).
		SetHeader("Content-Type", "application/json").Body(text).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("asking operator %s: %w", o.pod, answered(err))
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("reading the answer of operator %s: %w", o.pod, err)
	}
	return nil
}
