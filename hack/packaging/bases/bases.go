package bases

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/causeway-mesh/causeway/hack/packaging/chart"
)

const header = "# Rendered from config/chart by `make generate`: edit there.\n"

// base is a directory of config/ that is rendered from templates of the chart.
type base struct {
	dir       string
	templates string // directory below templates/
	only      string // one template of it; empty is all
	except    string // one template that is left out
	values    map[string]any
	hooks     bool // Helm's annotations are taken out
}

// plain are the values of the bases: everything but the MeshFederation.
func plain(extra map[string]any) map[string]any {
	out := map[string]any{"meshFederation": map[string]any{"create": false}, "certManager": map[string]any{"check": false}}
	maps.Copy(out, extra)
	return out
}

func all() []base {
	nodePort := map[string]any{"gateway": map[string]any{"expose": map[string]any{"type": "NodePort"}}}
	return []base{
		{dir: "rbac", templates: "rbac", except: "role.yaml"}, // which is controller-gen's
		{dir: "operator", templates: "operator"},
		{dir: "gateway", templates: "gateway"},
		{dir: "cleanup", templates: "hooks", only: "cleanup.yaml", hooks: true},
		{dir: "overlays/nodeport", templates: "gateway", only: "expose.yaml", values: nodePort},
	}
}

// Generate brings everything under root up to date.
func Generate(root string) error {
	config := filepath.Join(root, "config")
	if err := errors.Join(copyCRDs(config), copyFiles(config)); err != nil {
		return err
	}
	c, err := chart.Load(filepath.Join(config, "chart"))
	if err != nil {
		return err
	}
	if err := Write(c, config); err != nil {
		return err
	}
	return writeValues(root)
}

// Write renders the chart into the bases below config.
func Write(c *chart.Chart, config string) error {
	for _, b := range all() {
		files, err := b.render(c)
		if err != nil {
			return fmt.Errorf("rendering config/%s: %w", b.dir, err)
		}
		if err := replace(filepath.Join(config, b.dir), files); err != nil {
			return err
		}
	}
	return nil
}

func (b base) render(c *chart.Chart) (map[string]string, error) {
	rendered, err := chart.Render(c, plain(b.values), chart.Options{Service: "kustomize"})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, text := range rendered {
		dir, file := filepath.Split(name)
		if filepath.Clean(dir) != b.templates || (b.only != "" && b.only != file) || file == b.except {
			continue
		}
		if b.hooks {
			text = withoutHooks(text)
		}
		out[file] = header + text
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("templates/%s renders to nothing", b.templates)
	}
	return out, nil
}

// withoutHooks takes out Helm's annotations: the only ones of a hook's objects.
func withoutHooks(text string) string {
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		if !strings.HasPrefix(trimmed, "helm.sh/") && line != "  annotations:" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// replace writes the files and removes generated ones that are no longer wanted.
func replace(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range old {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, wanted := files[filepath.Base(path)]; !wanted && strings.HasPrefix(string(data), header) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(files[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}
