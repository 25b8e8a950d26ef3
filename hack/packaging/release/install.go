package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/causeway-mesh/causeway/hack/packaging/bases"
	"github.com/causeway-mesh/causeway/hack/packaging/chart"
)

// Kustomize builds one directory below config, as `kubectl kustomize` does.
func Kustomize(config, dir string) ([]byte, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(config, dir))
	if err != nil {
		return nil, fmt.Errorf("kustomize config/%s: %w", dir, err)
	}
	return built.AsYaml()
}

// Install is the YAML that installs a version without Helm: config/default with the
// bases rendered anew for that version.
func Install(config string, c *chart.Chart, version string) (out []byte, err error) {
	work, err := os.MkdirTemp("", "causeway-install-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	for _, dir := range []string{"crd", "rbac", "operator", "gateway", "default"} {
		if err := copyDir(filepath.Join(work, dir), filepath.Join(config, dir)); err != nil {
			return nil, err
		}
	}
	if err := bases.Write(chart.Stamp(c, version), work); err != nil {
		return nil, err
	}
	if err := setTag(filepath.Join(work, "default", "kustomization.yaml"), version); err != nil {
		return nil, err
	}
	return Kustomize(work, "default")
}

func setTag(path, version string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var k types.Kustomization
	if err := k.Unmarshal(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for i := range k.Images {
		k.Images[i].NewTag = version
	}
	return writeYAML(path, k)
}

func copyDir(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
}
