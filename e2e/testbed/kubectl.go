package testbed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
)

// Kubectl runs the real kubectl against the cluster as its administrator, as a user
// would, and returns what it printed. stdin may be nil. An error has what kubectl
// wrote to its standard error.
func (c *Cluster) Kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	bin, err := c.w.KubectlPath()
	if err != nil {
		return "", err
	}
	kubeconfig, err := c.adminKubeconfig()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, bin, append([]string{"--kubeconfig", kubeconfig, "--cache-dir", c.path("kubectl-cache")}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	cmd.WaitDelay = time.Second
	if err := c.Site.Start(cmd); err != nil {
		return "", fmt.Errorf("starting kubectl: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("kubectl --context %s %s: %w: %s", c.Name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// Apply is `kubectl apply -f -`.
func (c *Cluster) Apply(ctx context.Context, manifest string) error {
	_, err := c.Kubectl(ctx, strings.NewReader(manifest), "apply", "-f", "-")
	return err
}

func (c *Cluster) adminKubeconfig() (string, error) {
	c.adminOnce.Do(func() { c.adminPath, c.adminErr = c.Kubeconfig(Admin()) })
	return c.adminPath, c.adminErr
}

// InstallCRDs creates CustomResourceDefinitions, those that exist are left alone, and
// waits until the API server serves all of them.
func (c *Cluster) InstallCRDs(ctx context.Context, manifest []byte) error {
	client, err := dynamic.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	var names []string
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		var u unstructured.Unstructured
		if err := decoder.Decode(&u); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("decoding: %w", err)
		}
		if u.GetKind() != "CustomResourceDefinition" {
			continue
		}
		if _, err := crds.Create(ctx, &u, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating %s: %w", u.GetName(), err)
		}
		names = append(names, u.GetName())
	}
	for _, name := range names {
		err := await(ctx, "the kind "+name, []*Process{c.APIServer}, func(ctx context.Context) error {
			u, err := crds.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return established(u)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func established(u *unstructured.Unstructured) error {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		m, ok := c.(map[string]any)
		if ok && m["type"] == "Established" && m["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("%s is not established", u.GetName())
}
