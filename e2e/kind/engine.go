package kind

import (
	"context"
	"errors"
)

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

// RemoveStore removes the policy store's container and its data.
func RemoveStore(ctx context.Context) error {
	_, container := run(ctx, nil, "docker", "rm", "--force", "--volumes", StoreContainer)
	_, volume := run(ctx, nil, "docker", "volume", "rm", "--force", StoreContainer)
	return errors.Join(container, volume)
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
