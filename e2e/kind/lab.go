package kind

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Prefix begins the names of everything that the suite makes in Docker.
const Prefix = "causeway-"

// network is kind's own; the policy store's container joins it.
const network = "kind"

// Config says what clusters to make.
type Config struct {
	// Clusters are names, each also a region and a kubeconfig context.
	Clusters []string
	// NodeImage and KindConfig are given to kind where they are not empty.
	NodeImage, KindConfig string
	// Dir takes the kubeconfig and the artifacts; it must exist.
	Dir string
	// Reuse takes clusters of the same names that are there already.
	Reuse bool
}

// Lab is a set of kind clusters.
type Lab struct {
	Kubeconfig string // one context for each cluster, of its name
	cfg        Config
}

// New makes the clusters, all at the same time. With an error comes the lab that was
// begun: Delete removes what there is of it.
func New(ctx context.Context, cfg Config) (*Lab, error) {
	l := &Lab{cfg: cfg, Kubeconfig: filepath.Join(cfg.Dir, "kubeconfig")}
	there, err := run(ctx, nil, "kind", "get", "clusters")
	if err != nil {
		return l, err
	}
	var group errgroup.Group
	for _, name := range cfg.Clusters {
		group.Go(func() error { return l.cluster(ctx, name, contains(there, Prefix+name)) })
	}
	if err := group.Wait(); err != nil {
		return l, err
	}
	return l, l.merge(ctx)
}

func contains(lines, want string) bool {
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}

// kubeconfig of one cluster.
func (l *Lab) kubeconfig(cluster string) string {
	return filepath.Join(l.cfg.Dir, "kubeconfig-"+cluster)
}

func (l *Lab) cluster(ctx context.Context, name string, there bool) error {
	// An earlier run's would keep its renamed context.
	if err := os.Remove(l.kubeconfig(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if there && l.cfg.Reuse {
		_, err := run(ctx, nil, "kind", "export", "kubeconfig", "--name", Prefix+name, "--kubeconfig", l.kubeconfig(name))
		return err
	}
	if there {
		if _, err := run(ctx, nil, "kind", "delete", "cluster", "--name", Prefix+name, "--kubeconfig", l.kubeconfig(name)); err != nil {
			return err
		}
	}
	args := []string{"create", "cluster", "--name", Prefix + name, "--kubeconfig", l.kubeconfig(name), "--wait", "180s", "--retain"}
	if l.cfg.NodeImage != "" {
		args = append(args, "--image", l.cfg.NodeImage)
	}
	if l.cfg.KindConfig != "" {
		args = append(args, "--config", l.cfg.KindConfig)
	}
	if _, err := run(ctx, nil, "kind", args...); err != nil {
		return err
	}
	// kind waits for the node alone.
	_, err := run(ctx, nil, "kubectl", "--kubeconfig", l.kubeconfig(name), "--namespace", "kube-system",
		"rollout", "status", "deployment/coredns", "--timeout=120s")
	return err
}

// merge makes one kubeconfig whose contexts have the clusters' names.
func (l *Lab) merge(ctx context.Context) error {
	var files []string
	for _, name := range l.cfg.Clusters {
		file := l.kubeconfig(name)
		env := []string{"KUBECONFIG=" + file}
		if _, err := run(ctx, env, "kubectl", "config", "rename-context", "kind-"+Prefix+name, name); err != nil {
			return err
		}
		files = append(files, file)
	}
	text, err := run(ctx, []string{"KUBECONFIG=" + strings.Join(files, ":")}, "kubectl", "config", "view", "--flatten")
	if err != nil {
		return err
	}
	return os.WriteFile(l.Kubeconfig, []byte(text), 0o600)
}

// Delete removes the clusters.
func (l *Lab) Delete(ctx context.Context) error {
	var group errgroup.Group
	for _, name := range l.cfg.Clusters {
		group.Go(func() error {
			_, err := run(ctx, nil, "kind", "delete", "cluster", "--name", Prefix+name, "--kubeconfig", l.kubeconfig(name))
			return err
		})
	}
	return group.Wait()
}

// Load brings image archives into every cluster.
func (l *Lab) Load(ctx context.Context, archives ...string) error {
	var group errgroup.Group
	for _, name := range l.cfg.Clusters {
		group.Go(func() error {
			for _, archive := range archives {
				if _, err := run(ctx, nil, "kind", "load", "image-archive", archive, "--name", Prefix+name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// Node is the container that is a cluster's one node.
func Node(cluster string) string { return Prefix + cluster + "-control-plane" }

// Kubectl runs kubectl against one cluster.
func (l *Lab) Kubectl(ctx context.Context, cluster string, args ...string) (string, error) {
	return l.Apply(ctx, cluster, "", args...)
}

// Apply is Kubectl with standard input.
func (l *Lab) Apply(ctx context.Context, cluster, in string, args ...string) (string, error) {
	all := append([]string{"--kubeconfig", l.Kubeconfig, "--context", cluster, "--request-timeout=30s"}, args...)
	return pipe(ctx, nil, in, "kubectl", all...)
}

// Exec runs a command in a cluster's node.
func (l *Lab) Exec(ctx context.Context, cluster string, args ...string) (string, error) {
	return run(ctx, nil, "docker", append([]string{"exec", Node(cluster)}, args...)...)
}

// Await looks twice a second until cond holds or ctx ends; the error says what was
// waited for and what was seen last.
func Await(ctx context.Context, what string, cond func(context.Context) error) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %w)", what, ctx.Err(), err)
		case <-tick.C:
		}
	}
}
