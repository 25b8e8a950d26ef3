package kind

import "context"

// Pause stops every process of a cluster's node in its tracks: no RST, no FIN.
func Pause(ctx context.Context, cluster string) error {
	_, err := run(ctx, nil, "docker", "pause", Node(cluster))
	return err
}

// Unpause ends a Pause.
func Unpause(ctx context.Context, cluster string) error {
	_, err := run(ctx, nil, "docker", "unpause", Node(cluster))
	return err
}

// LoadIntoDocker makes image archives known to the Docker engine itself.
func LoadIntoDocker(ctx context.Context, archives ...string) error {
	for _, archive := range archives {
		if _, err := run(ctx, nil, "docker", "load", "--input", archive); err != nil {
			return err
		}
	}
	return nil
}

// RemoveStore removes the policy store's container; its data is a folder here.
func RemoveStore(ctx context.Context) error {
	_, err := run(ctx, nil, "docker", "rm", "--force", "--volumes", StoreContainer)
	return err
}

// Helm runs helm against one cluster.
func (l *Lab) Helm(ctx context.Context, cluster string, args ...string) error {
	_, err := run(ctx, nil, "helm", append([]string{"--kubeconfig", l.Kubeconfig, "--kube-context", cluster}, args...)...)
	return err
}

// Rollout waits until a workload of Causeway's has been rolled out.
func (l *Lab) Rollout(ctx context.Context, cluster, what string) (string, error) {
	return l.Kubectl(ctx, cluster, "-n", "causeway-system", "rollout", "status", what, "--timeout=170s", "--request-timeout=0")
}
