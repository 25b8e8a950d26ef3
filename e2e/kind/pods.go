package kind

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/e2e/load"
)

// restricted is what every pod of the suite may do: little.
const restricted = `
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      terminationGracePeriodSeconds: 2
      containers:
      - name: main
        imagePullPolicy: Never
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}`

// StartCheckout runs two ready pods of shop/checkout.
func (l *Lab) StartCheckout(ctx context.Context, cluster string) error {
	text := fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: checkout, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: checkout}}
  template:
    metadata: {labels: {app: checkout}}
    spec:%s
        image: %s
        args: [serve]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        env:
        - {name: CLUSTER, value: %s}
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
`, restricted, tag("app"), cluster)
	if _, err := l.Apply(ctx, cluster, text, "apply", "-f", "-"); err != nil {
		return err
	}
	_, err := l.Kubectl(ctx, cluster, "--namespace", "shop", "rollout", "status", "deployment/checkout", "--timeout=60s")
	return err
}

// Curl runs an unmodified curl in a pod of its own and returns what it printed.
func (l *Lab) Curl(ctx context.Context, cluster, name string, args ...string) (string, error) {
	overrides := fmt.Sprintf(`{"spec":{"securityContext":{"runAsNonRoot":true}}}`)
	all := append([]string{
		"--namespace", "shop", "run", name, "--image", tag("curl"), "--image-pull-policy=Never", "--restart=Never",
		"--overrides", overrides, "--quiet", "--rm", "--attach", "--pod-running-timeout=60s", "--",
	}, args...)
	out, err := l.Kubectl(ctx, cluster, all...)
	return strings.TrimSpace(out), err
}

// Derived is the URL of the derived Service of shop/checkout, as pods dial it.
func (l *Lab) Derived(ctx context.Context, cluster string) (string, error) {
	name, err := l.Kubectl(ctx, cluster, "--namespace", "shop", "get", "serviceimport", "checkout",
		"--output", `jsonpath={.metadata.annotations.multicluster\.kubernetes\.io/derived-service}`)
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", fmt.Errorf("the ServiceImport names no derived Service yet")
	}
	return "http://" + name + ".shop.svc.cluster.local/", nil
}

// Load is a pod that makes requests on a schedule.
type Load struct {
	lab     *Lab
	cluster string
	name    string
	began   time.Time
}

// StartLoad runs the open-loop client in a pod: a new connection every so often.
func (l *Lab) StartLoad(ctx context.Context, cluster, name, url string, every time.Duration) (*Load, error) {
	text := fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: shop}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:%[2]s
        image: %[3]s
        args: [load, -url, %[4]q, -every, %[5]s]
`, name, restricted, tag("app"), url, every)
	if _, err := l.Apply(ctx, cluster, text, "apply", "-f", "-"); err != nil {
		return nil, err
	}
	if _, err := l.Kubectl(ctx, cluster, "--namespace", "shop", "rollout", "status", "deployment/"+name, "--timeout=60s"); err != nil {
		return nil, err
	}
	return &Load{lab: l, cluster: cluster, name: name, began: time.Now()}, nil
}

// Results are those of all requests that have ended.
func (d *Load) Results(ctx context.Context) ([]load.Result, error) {
	return d.last(ctx, -1)
}

// last reads the last n results; -1 is all.
func (d *Load) last(ctx context.Context, n int) ([]load.Result, error) {
	text, err := d.lab.Kubectl(ctx, d.cluster, "--namespace", "shop", "logs", "deployment/"+d.name, "--tail", fmt.Sprint(n))
	if err != nil {
		return nil, err
	}
	return load.ParseLines(text)
}

// AwaitServedBy waits until the last n requests were all answered by a cluster.
func (d *Load) AwaitServedBy(ctx context.Context, cluster string, n int) error {
	return Await(ctx, "answers from "+cluster, func(ctx context.Context) error {
		results, err := d.last(ctx, n)
		if err != nil {
			return err
		}
		if len(results) < n {
			return fmt.Errorf("%d requests have ended", len(results))
		}
		for _, r := range results {
			if !strings.HasPrefix(r.Served, cluster+"/") {
				return fmt.Errorf("answered by %q, error %v", r.Served, r.Err)
			}
		}
		return nil
	})
}

// Stop deletes the pod; call Results before.
func (d *Load) Stop(ctx context.Context) error {
	_, err := d.lab.Kubectl(ctx, d.cluster, "--namespace", "shop", "delete", "deployment", d.name, "--ignore-not-found", "--wait=false")
	return err
}
