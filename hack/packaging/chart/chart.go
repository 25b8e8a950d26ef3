package chart

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// Namespace is the only one that Causeway runs in.
const Namespace = "causeway-system"

// Chart is a loaded chart.
type Chart = chart.Chart

// Options say what cluster and release the chart is rendered for.
type Options struct {
	// Namespace of the release. Default Namespace.
	Namespace string
	// Service is what app.kubernetes.io/managed-by says. Default "Helm".
	Service string
	// Kubernetes is the API server's version. Default v1.29.0, the oldest supported.
	Kubernetes string
	// APIs that the API server is said to know beside Helm's default set.
	APIs []string
}

// Load reads a chart's directory, or its archive.
func Load(path string) (*Chart, error) {
	c, err := loader.Load(path)
	if err != nil {
		return nil, fmt.Errorf("loading the chart %s: %w", path, err)
	}
	return c, nil
}

// Render gives the text of each template that renders to something, by its path
// below templates/. Values are checked against the schema as `helm install` does.
func Render(c *Chart, values map[string]any, o Options) (map[string]string, error) {
	caps, err := o.capabilities()
	if err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "causeway", Namespace: or(o.Namespace, Namespace), Revision: 1, IsInstall: true}
	top, err := chartutil.ToRenderValues(c, values, release, caps)
	if err != nil {
		return nil, err
	}
	top["Release"].(map[string]any)["Service"] = or(o.Service, "Helm")
	files, err := engine.Render(c, top)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, text := range files {
		_, rel, _ := strings.Cut(name, "/templates/")
		if text = tidy(text); text != "" && path.Ext(name) != ".tpl" {
			out[rel] = text
		}
	}
	return out, nil
}

// Objects joins the rendered YAML of all templates, in the order of their paths,
// hooks and notes left out.
func Objects(rendered map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		if path.Ext(name) == ".yaml" && path.Dir(name) != "hooks" {
			parts = append(parts, rendered[name])
		}
	}
	return strings.Join(parts, "---\n")
}

func (o Options) capabilities() (*chartutil.Capabilities, error) {
	version, err := chartutil.ParseKubeVersion(or(o.Kubernetes, "v1.29.0"))
	if err != nil {
		return nil, fmt.Errorf("kubernetes version %q: %w", o.Kubernetes, err)
	}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = *version
	caps.APIVersions = append(slices.Clone(caps.APIVersions), o.APIs...)
	return caps, nil
}

// tidy drops empty documents, trailing blanks and blank lines, so that a template
// may use the white space that makes it readable.
func tidy(text string) string {
	var docs []string
	for _, doc := range strings.Split("\n"+text, "\n---") {
		var lines []string
		content := false
		for line := range strings.Lines(doc) {
			if line = strings.TrimRight(line, " \n"); line != "" {
				lines = append(lines, line)
				content = content || !strings.HasPrefix(line, "#")
			}
		}
		if content {
			docs = append(docs, strings.Join(lines, "\n")+"\n")
		}
	}
	return strings.Join(docs, "---\n")
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
