package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	leaseName = "causeway-operator"
	adminPort = "8080"
	timeout   = 10 * time.Second
)

// operator is the leader of one cluster, asked through its API server.
type operator struct {
	client    kubernetes.Interface
	namespace string
	pod       string
}

// leader finds the operator that leads in the context's cluster.
func (f *flags) leader(ctx context.Context, context string) (*operator, error) {
	config, err := f.rest(context)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	lease, err := client.CoordinationV1().Leases(f.namespace).Get(ctx, leaseName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("no operator has ever led in namespace %s of this cluster: install Causeway, or give --causeway-namespace", f.namespace)
	case err != nil:
		return nil, fmt.Errorf("finding the leading operator: %w", err)
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "":
		return nil, errors.New("no operator leads at the moment: try again in a few seconds")
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return &operator{client: client, namespace: f.namespace, pod: pod}, nil
}

// loader reads the kubeconfig as kubectl does.
func (f *flags) loader(context string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
}

// rest is how the API server of a context is reached.
func (f *flags) rest(context string) (*rest.Config, error) {
	loader := f.loader(context)
	if err := knownContext(loader, context); err != nil {
		return nil, err
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.Timeout = timeout
	return config, nil
}

// knownContext turns a mistyped context into a message that lists the right ones.
func knownContext(loader clientcmd.ClientConfig, context string) error {
	raw, err := loader.RawConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if context == "" || raw.Contexts[context] != nil {
		return nil
	}
	var names []string
	for name := range raw.Contexts {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Errorf("the kubeconfig has no context %q; it has: %s", context, strings.Join(names, ", "))
}

// get asks the operator's admin endpoint through the API server's pod proxy, so
// that the caller's right to pods/proxy decides who may look.
func (o *operator) get(ctx context.Context, path string, params map[string]string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request := o.client.CoreV1().RESTClient().Get().Namespace(o.namespace).Resource("pods").
		Name("http:" + o.pod + ":" + adminPort).SubResource("proxy").Suffix(path)
	for k, v := range params {
		request = request.Param(k, v)
	}
	raw, err := request.DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("asking operator %s: its pod is gone; another replica takes over within seconds", o.pod)
	}
	if err != nil {
		return fmt.Errorf("asking operator %s: %w", o.pod, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("reading the answer of operator %s: %w", o.pod, err)
	}
	return nil
}
