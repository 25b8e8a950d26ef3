package kind

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// InstallCertManager brings the prerequisite into every cluster: cert-manager's
// kinds and its real controllers, without its webhook.
func (l *Lab) InstallCertManager(ctx context.Context, bin string) error {
	var group errgroup.Group
	for _, cluster := range l.cfg.Clusters {
		group.Go(func() error {
			if _, err := l.Kubectl(ctx, cluster, "apply", "--server-side", "-f", filepath.Join(bin, "crds", "cert-manager.yaml")); err != nil {
				return err
			}
			if _, err := l.Apply(ctx, cluster, certManager(), "apply", "-f", "-"); err != nil {
				return err
			}
			_, err := l.Kubectl(ctx, cluster, "--namespace", "cert-manager", "rollout", "status", "deployment/cert-manager", "--timeout=90s")
			return err
		})
	}
	return group.Wait()
}

func certManager() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: cert-manager}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cert-manager, namespace: cert-manager}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cert-manager}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: cert-manager, namespace: cert-manager}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cert-manager, namespace: cert-manager}
spec:
  selector: {matchLabels: {app: cert-manager}}
  template:
    metadata: {labels: {app: cert-manager}}
    spec:
      serviceAccountName: cert-manager%s
        image: %s
        args: [--namespace=cert-manager]
`, restricted, tag("cert-manager"))
}
