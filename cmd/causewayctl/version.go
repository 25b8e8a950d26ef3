package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/causeway-mesh/causeway/federation/explain"
	"github.com/causeway-mesh/causeway/federation/version"
)

// versions is what `causewayctl version --all` shows: a row for each process.
type versions struct {
	Client   string       `json:"client"`
	Clusters []clusterRow `json:"clusters,omitempty"`
}

type clusterRow struct {
	Context string `json:"context"`
	Process string `json:"process,omitempty"`
	Version string `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
}

func versionCommand(f *flags) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show this program's version, and with --all that of every operator and gateway",
		Long: `Show this program's version, and with --all that of every operator and gateway in
every context of the kubeconfig (or in --context alone). A process is asked itself: what
is shown is what runs, not what was installed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versions{Client: version.String()}
			var failed error
			if all {
				contexts, err := f.contexts()
				if err != nil {
					return err
				}
				for _, name := range contexts {
					rows, err := f.versionsIn(cmd.Context(), name)
					if err != nil {
						rows = []clusterRow{{Context: name, Error: err.Error()}}
						failed = errors.New("not every cluster answered")
					}
					v.Clusters = append(v.Clusters, rows...)
				}
			}
			return errors.Join(f.print(v, func(w io.Writer) { versionTable(w, v) }), failed)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "ask the operators and gateways of every cluster too")
	return cmd
}

func versionTable(w io.Writer, v versions) {
	_, _ = fmt.Fprintf(w, "causewayctl %s\n", v.Client)
	if len(v.Clusters) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w, "\nCONTEXT\tPROCESS\tVERSION")
	for _, c := range v.Clusters {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", c.Context, orNone(c.Process), orNone(c.Version+c.Error))
	}
}

// contexts are those of the kubeconfig, or the one that --context names.
func (f *flags) contexts() ([]string, error) {
	if f.context != "" {
		return []string{f.context}, nil
	}
	raw, err := f.loader("").RawConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	var names []string
	for name := range raw.Contexts {
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, errors.New("the kubeconfig has no contexts: give --kubeconfig, or set KUBECONFIG")
	}
	slices.Sort(names)
	return names, nil
}

// versionsIn asks every pod of Causeway's in one cluster.
func (f *flags) versionsIn(ctx context.Context, name string) ([]clusterRow, error) {
	config, err := f.rest(name)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	pods, err := client.CoreV1().Pods(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=causeway"})
	if err != nil {
		return nil, err
	}
	var rows []clusterRow
	for _, p := range pods.Items {
		port := adminPortOf(p)
		if port == "" {
			continue // a finished job
		}
		row := clusterRow{Context: name, Process: p.Name}
		if row.Version, err = askVersion(ctx, client, p, port); err != nil {
			row.Error = "does not answer: " + err.Error()
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("Causeway is not installed in namespace %s", f.namespace) //nolint:staticcheck // a name
	}
	return rows, nil
}

func adminPortOf(p corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == "admin" {
				return fmt.Sprint(port.ContainerPort)
			}
		}
	}
	return ""
}

func askVersion(ctx context.Context, client kubernetes.Interface, p corev1.Pod, port string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := client.CoreV1().RESTClient().Get().Namespace(p.Namespace).Resource("pods").
		Name("http:" + p.Name + ":" + port).SubResource("proxy").Suffix("v1/version").DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var answer explain.Version
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	return answer.Version, nil
}
