package bases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	group  = "federation.causeway.dev"
	partOf = "app.kubernetes.io/part-of: causeway"
)

// copyCRDs fills the chart's crds/. Helm installs what is missing there and skips
// what exists; an upgrade goes through the chart's hook.
func copyCRDs(config string) error {
	var files []string
	for _, pattern := range []string{"crd/*_*.yaml", "crd/mcs/*_*.yaml"} {
		found, err := filepath.Glob(filepath.Join(config, pattern))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("config/%s: no CRD found (%v)", pattern, err)
		}
		files = append(files, found...)
	}
	out := map[string]string{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(data)
		if strings.HasPrefix(filepath.Base(path), group) {
			text = labelled(text)
		}
		out[filepath.Base(path)] = strings.TrimPrefix(text, "---\n")
	}
	dir := filepath.Join(config, "chart", "crds")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return replace(dir, out)
}

// labelled adds our label to a CRD as controller-gen writes it, unless a marker
// already has.
func labelled(crd string) string {
	if strings.Contains(crd, partOf) {
		return crd
	}
	return strings.Replace(crd, "\n  name: ", "\n  labels:\n    "+partOf+"\n  name: ", 1)
}

// copyFiles fills the chart's files/, which templates take in as they are.
func copyFiles(config string) error {
	out := map[string]string{}
	for _, path := range []string{"rbac/role.yaml", "prometheus/causeway-rules.yaml"} {
		data, err := os.ReadFile(filepath.Join(config, path))
		if err != nil {
			return err
		}
		out[filepath.Base(path)] = string(data)
	}
	return replace(filepath.Join(config, "chart", "files"), out)
}
