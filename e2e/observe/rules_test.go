package observe

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/causeway-mesh/causeway/config"
)

type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal(read(t, "prometheus/causeway-rules.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

// promtool runs Prometheus' own checker beside the shipped files.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is not on PATH: apt-get install prometheus, or run `make prometheus`")
	}
	dir := t.TempDir()
	entries, err := config.Observability.ReadDir("prometheus")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.WriteFile(filepath.Join(dir, e.Name()), read(t, "prometheus/"+e.Name()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolTakesRulesAndDemoConfiguration(t *testing.T) {
	promtool(t, "check", "rules", "causeway-rules.yaml")
	promtool(t, "check", "config", "demo.yaml")
}

func TestEachAlertFiresForItsFaultAndIsQuietWithout(t *testing.T) {
	promtool(t, "test", "rules", "causeway-rules-test.yaml")
	told := string(read(t, "prometheus/causeway-rules-test.yaml"))
	for _, r := range rules(t) {
		if r.Alert != "" && !strings.Contains(told, "ALERTS{alertname=\""+r.Alert+"\",") {
			t.Errorf("no fault is told for which %s fires", r.Alert)
		}
	}
}
