package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// checkout is a policy in its third version, in the first of two waves.
func checkout() policy {
	var p policy
	p.Namespace, p.Name, p.Generation = "shop", "checkout", 5
	p.Annotations = map[string]string{}
	p.Spec.Rollout = map[string]any{"bake": "1m"}
	p.Status.ObservedGeneration = 5
	p.Status.Rollout = rolloutStatus{Phase: "Progressing", Wave: 1, Waves: 2, Updated: 1, Total: 3, Generation: 4, From: 3, Reason: "WaveReached", Message: "wave 1 of 2 has begun"}
	p.Status.History = []policyVersion{
		{Generation: 4, Revision: 90, Regions: []string{"us", "eu"}, Targets: []string{"checkout"}},
		{Generation: 3, Regions: []string{"eu", "us"}, Targets: []string{"checkout"}},
		{Generation: 1, Regions: []string{"eu"}, Targets: []string{"checkout", "cart"}},
	}
	return p
}

func TestRolloutTables(t *testing.T) {
	p := checkout()
	wantLine(t, table(t, func(w io.Writer) { rolloutTable(w, p) }), "shop/checkout 4 3 Progressing 1/2 1/3 WaveReached wave 1 of 2 has begun")
	p.Annotations[undoAnnotation] = "5/1"
	lines := table(t, func(w io.Writer) { historyTable(w, p) })
	wantLine(t, lines, "4 90 us,eu checkout newest")
	wantLine(t, lines, "3 - eu,us checkout -")
	wantLine(t, lines, "1 - eu checkout,cart gone back to")
}

func TestUndoSaysWhatItGoesBackToAndRefusesWhatIsNotThere(t *testing.T) {
	for name, test := range map[string]struct {
		to       int64
		change   func(*policy)
		want     string // the annotation
		says     string
		complain string
	}{
		"to the one before":      {want: "5/3", says: "goes back to generation 3 everywhere: regions eu, us for checkout"},
		"to an earlier one":      {to: 1, want: "5/1", says: "goes back to generation 1 everywhere: regions eu for checkout, cart"},
		"to one not in history":  {to: 2, complain: "policy shop/checkout has no generation 2 in its history; to go back are: 3, 1"},
		"to the newest":          {to: 4, complain: "generation 4 is the newest of policy shop/checkout; to go back are: 3, 1"},
		"without a history":      {change: func(p *policy) { p.Status.History = p.Status.History[:1] }, complain: "has no earlier version to go back to"},
		"without the newest":     {change: func(p *policy) { p.Status.History = p.Status.History[1:] }, want: "5/3", says: "goes back to generation 3"},
		"of an unread spec":      {change: func(p *policy) { p.Generation = 6 }, complain: "has not taken up generation 6 yet"},
		"again":                  {to: 3, change: func(p *policy) { p.Annotations[undoAnnotation] = "5/3" }, want: "5/3", says: "has gone back to generation 3 already"},
		"after one that expired": {to: 3, change: func(p *policy) { p.Annotations[undoAnnotation] = "4/3" }, want: "5/3", says: "goes back to generation 3"},
	} {
		t.Run(name, func(t *testing.T) {
			p := checkout()
			if test.change != nil {
				test.change(&p)
			}
			says, err := p.undo(test.to)
			if test.complain != "" {
				if err == nil || !strings.Contains(err.Error(), test.complain) {
					t.Fatalf("complains %v, want %q", err, test.complain)
				}
				return
			}
			if err != nil || !strings.Contains(says, test.says) || p.Annotations[undoAnnotation] != test.want {
				t.Errorf("says %q, writes %q (%v), want %q", says, p.Annotations[undoAnnotation], err, test.want)
			}
		})
	}
}

func TestPauseNeedsAPlan(t *testing.T) {
	p := checkout()
	p.Spec.Rollout = nil
	if says, err := p.pause(); err == nil || p.Annotations[holdAnnotation] != "" {
		t.Errorf("a policy without a plan says %q", says)
	}
}

func stored(t *testing.T, annotations map[string]string) policyAPI {
	t.Helper()
	a := policyAPI{key: client.ObjectKey{Namespace: "shop", Name: "checkout"}}
	u := a.object()
	u.SetGeneration(5)
	u.SetAnnotations(annotations)
	for path, value := range map[string]any{"spec": map[string]any{"rollout": map[string]any{"bake": "1m"}}, "status": map[string]any{
		"observedGeneration": int64(5), "rollout": map[string]any{"generation": int64(4), "phase": "Progressing"},
		"history": []any{map[string]any{"generation": int64(3), "regions": []any{"eu"}, "targets": []any{"checkout"}}},
	}} {
		if err := unstructured.SetNestedField(u.Object, value, path); err != nil {
			t.Fatal(err)
		}
	}
	a.client = fake.NewClientBuilder().WithObjects(u).Build()
	return a
}

func TestPauseResumeAndUndoWriteTheirAnnotationAndNoOther(t *testing.T) {
	a := stored(t, map[string]string{"mine": "1"})
	var out bytes.Buffer
	r := &rolloutFlags{flags: &flags{out: &out, output: "table"}}
	var last policy
	for _, step := range []struct {
		edit func(*policy) (string, error)
		want map[string]string
		says string
	}{
		{(*policy).pause, map[string]string{"mine": "1", holdAnnotation: "true"}, "routingpolicy/checkout paused: no further wave begins\n"},
		{(*policy).pause, map[string]string{"mine": "1", holdAnnotation: "true"}, "routingpolicy/checkout is paused already\n"},
		{func(p *policy) (string, error) { return p.undo(0) }, map[string]string{"mine": "1", holdAnnotation: "true", undoAnnotation: "5/3"},
			"routingpolicy/checkout goes back to generation 3 everywhere: regions eu for checkout\n"},
		{(*policy).resume, map[string]string{"mine": "1", undoAnnotation: "5/3"}, "routingpolicy/checkout resumed\n"},
		{(*policy).resume, map[string]string{"mine": "1", undoAnnotation: "5/3"}, "routingpolicy/checkout is not paused\n"},
	} {
		out.Reset()
		if err := r.change(t.Context(), a, step.edit); err != nil {
			t.Fatal(err)
		}
		p, err := a.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, p.Annotations); diff != "" || out.String() != step.says {
			t.Errorf("says %q, want %q; annotations (-want +got):\n%s", out.String(), step.says, diff)
		}
		if cmp.Equal(last.Annotations, p.Annotations) && last.ResourceVersion != p.ResourceVersion {
			t.Errorf("%q wrote, and changed nothing", step.says)
		}
		last = p
	}
}

func TestAChangeBySomebodyElseIsNotOverwritten(t *testing.T) {
	a := stored(t, nil)
	p, err := a.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := p
	other.Annotations = map[string]string{holdAnnotation: "true"}
	if err := a.annotate(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	p.Annotations = map[string]string{undoAnnotation: "5/3"}
	if err := a.annotate(t.Context(), p); err == nil || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("the change was written over: %v", err)
	}
}

func TestAPolicyThatIsNotThereIsAskedForElsewhere(t *testing.T) {
	a := stored(t, nil)
	a.key.Name = "cart"
	if _, err := a.get(t.Context()); err == nil || !strings.Contains(err.Error(), "no RoutingPolicy shop/cart") {
		t.Error(err)
	}
}

func TestStatusWaitsUntilTheRolloutEnds(t *testing.T) {
	end := func(phase, reason string) func(*policy) {
		return func(p *policy) {
			p.Status.Rollout.Phase, p.Status.Rollout.Reason, p.Status.Rollout.Message = phase, reason, "so it is"
		}
	}
	for name, test := range map[string]struct {
		change func(*policy) // after ten seconds
		err    string
		after  time.Duration
	}{
		"completed":               {change: end("Completed", "Completed"), after: 10 * time.Second},
		"rolled back":             {change: end("RolledBack", "GateFailed"), err: "generation 4 was taken back: GateFailed: so it is", after: 10 * time.Second},
		"paused is not its end":   {change: end("Paused", "Held"), err: "not ended within --timeout: generation 4: Paused (Held)", after: time.Minute},
		"not taken up yet":        {change: func(p *policy) { end("Completed", "Completed")(p); p.Generation = 6 }, err: "not ended", after: time.Minute},
		"not undone yet":          {change: func(p *policy) { end("Completed", "Completed")(p); p.Annotations[undoAnnotation] = "5/3" }, err: "not ended", after: time.Minute},
		"undone":                  {change: func(p *policy) { end("RolledBack", "Undone")(p); p.Annotations[undoAnnotation] = "5/3" }, err: "taken back", after: 10 * time.Second},
		"an undo long ago":        {change: func(p *policy) { end("Completed", "Completed")(p); p.Annotations[undoAnnotation] = "4/3" }, after: 10 * time.Second},
		"refused by the operator": {change: refused, err: "generation 5 was not accepted: Conflict: so it is", after: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var said []string
				w := waiter{every: time.Second, say: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
					get: func(context.Context) (policy, error) {
						p := checkout()
						if time.Since(start) >= 10*time.Second {
							test.change(&p)
						}
						return p, nil
					}}
				_, err := w.wait(ctx)
				if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("ends with %v, want %q", err, test.err)
				}
				if took := time.Since(start); took != test.after {
					t.Errorf("took %s, want %s", took, test.after)
				}
				if len(said) < 1 || len(said) > 2 || !strings.Contains(said[0], "wave 1 of 2, 1 of 3 clusters updated") {
					t.Errorf("said %q", said)
				}
			})
		})
	}
}

func refused(p *policy) {
	p.Status.Conditions = []metav1.Condition{{Type: "Accepted", Status: "False", Reason: "Conflict", Message: "so it is"}}
}

func TestStatusEndsWhenThePolicyCannotBeRead(t *testing.T) {
	gone := errors.New("gone")
	w := waiter{every: time.Second, say: t.Logf, get: func(context.Context) (policy, error) { return policy{}, gone }}
	if _, err := w.wait(t.Context()); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestRolloutCommandsAreThere(t *testing.T) {
	for _, verb := range []string{"status", "history", "pause", "resume", "undo"} {
		var out bytes.Buffer
		cmd := command(&out)
		cmd.SetArgs([]string{"rollout", verb, "--help"})
		if err := cmd.Execute(); err != nil || !strings.Contains(out.String(), "causewayctl rollout "+verb+" POLICY") {
			t.Errorf("%s: %v: %s", verb, err, out.String())
		}
	}
}
