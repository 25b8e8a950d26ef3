package release_test

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/causeway-mesh/causeway/hack/packaging/chart"
	"github.com/causeway-mesh/causeway/hack/packaging/release"
)

const config = "../../../config"

type objects map[string]map[string]any

// parse indexes documents by kind and name, without the labels that say who
// installed which version.
func parse(t *testing.T, text string) objects {
	t.Helper()
	out := objects{}
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		if len(o) == 0 {
			continue
		}
		meta := o["metadata"].(map[string]any)
		strip(o)
		out[o["kind"].(string)+" "+meta["name"].(string)] = o
	}
	return out
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "app.kubernetes.io/managed-by")
		delete(v, "app.kubernetes.io/version")
		for _, below := range v {
			strip(below)
		}
	case []any:
		for _, below := range v {
			strip(below)
		}
	}
}

func kustomized(t *testing.T, dir string) objects {
	t.Helper()
	data, err := release.Kustomize(config, dir)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(data))
}

func fromChart(t *testing.T, gateway map[string]any) objects {
	t.Helper()
	c, err := chart.Load(filepath.Join(config, "chart"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"meshFederation": map[string]any{"create": false}, "gateway": gateway}
	files, err := chart.Render(c, values, chart.Options{APIs: []string{"cert-manager.io/v1"}})
	if err != nil {
		t.Fatal(err)
	}
	out := parse(t, chart.Objects(files))
	for _, crd := range c.CRDObjects() {
		for key, o := range parse(t, string(crd.File.Data)) {
			out[key] = o
		}
	}
	return out
}

// kustomize and Helm install the same; only the Namespace is made by `helm
// --create-namespace` itself.
func TestKustomizeInstallsWhatTheChartDoes(t *testing.T) {
	for dir, gateway := range map[string]map[string]any{
		"default":           {},
		"overlays/nodeport": {"expose": map[string]any{"type": "NodePort"}},
	} {
		got := kustomized(t, dir)
		namespace := got["Namespace causeway-system"]
		delete(got, "Namespace causeway-system")
		if diff := cmp.Diff(fromChart(t, gateway), got); diff != "" {
			t.Errorf("config/%s (-chart +kustomize):\n%s", dir, diff)
		}
		labels, _ := namespace["metadata"].(map[string]any)["labels"].(map[string]any)
		if labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			t.Errorf("config/%s: the namespace does not enforce the restricted level", dir)
		}
	}
}

func TestCleanupWithoutHelmIsAPlainJob(t *testing.T) {
	data, err := release.Kustomize(config, "cleanup")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "helm.sh") || len(parse(t, string(data))) != 6 {
		t.Errorf("got:\n%s", data)
	}
}

func TestEverySampleIsListedOrBelongsToAnotherCluster(t *testing.T) {
	found, err := filepath.Glob(filepath.Join(config, "samples", "*.yaml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no sample (%v)", err)
	}
	listed := kustomized(t, "samples")
	for _, path := range found {
		if name := filepath.Base(path); name == "kustomization.yaml" || strings.HasPrefix(name, "meshfederation-") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for key := range parse(t, string(data)) {
			if listed[key] == nil {
				t.Errorf("%s is not in config/samples/kustomization.yaml: %s", filepath.Base(path), key)
			}
		}
	}
	if listed["MeshFederation demo"] == nil {
		t.Error("no MeshFederation is listed")
	}
}

// fake builds a tiny binary, for releases of nothing much.
func fake(t *testing.T) release.Request {
	t.Helper()
	src, dist := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.org/fake\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(src, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := filepath.Join(src, "fake")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", one, ".")
	cmd.Dir, cmd.Env = src, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"linux-amd64/causeway-operator", "linux-amd64/causeway-gateway", "linux-amd64/causewayctl", "darwin-arm64/causewayctl"} {
		path := filepath.Join(dist, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, binary, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return release.Request{
		Root: "../../..", Dist: dist, Out: filepath.Join(t.TempDir(), "release"), Version: "v1.2.3", Revision: "abc1234",
		Archs: []string{"amd64"}, At: time.Unix(1_700_000_000, 0).UTC(),
	}
}

func listing(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestAReleaseIsCompleteCheckedAndTheSameTwice(t *testing.T) {
	r := fake(t)
	if err := release.Write(r); err != nil {
		t.Fatal(err)
	}
	first := listing(t, r.Out)
	for _, want := range []string{
		"causeway-operator-linux-amd64", "causeway-gateway-linux-amd64", "causewayctl-linux-amd64", "causewayctl-darwin-arm64",
		"causeway-operator-image-linux-amd64.tar", "causeway-gateway-image-linux-amd64.tar", "causewayctl-image-linux-amd64.tar",
		"causeway-1.2.3.tgz", "causeway-install.yaml", "causeway-v1.2.3.spdx.json", "SHA256SUMS",
	} {
		if len(first[want]) == 0 {
			t.Errorf("%s is missing", want)
		}
		if want != release.SumsFile && !strings.Contains(string(first[release.SumsFile]), "  "+want+"\n") {
			t.Errorf("%s has no checksum", want)
		}
	}
	if len(first) != 11 {
		t.Errorf("%d files", len(first))
	}
	r.Out += "-again"
	if err := release.Write(r); err != nil {
		t.Fatal(err)
	}
	for name, data := range listing(t, r.Out) {
		if !bytes.Equal(data, first[name]) {
			t.Errorf("%s differs in a second release", name)
		}
	}
}

func TestAReleaseThatWasTouchedIsNoticed(t *testing.T) {
	r := fake(t)
	if err := release.Write(r); err != nil {
		t.Fatal(err)
	}
	for name, harm := range map[string]func(path string) error{
		"causeway-install.yaml":    func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"causewayctl-darwin-arm64": os.Remove,
		"stranger":                 func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		path := filepath.Join(r.Out, name)
		before, _ := os.ReadFile(path)
		if err := harm(path); err != nil {
			t.Fatal(err)
		}
		if err := release.Check(r.Out); err == nil {
			t.Errorf("%s: not noticed", name)
		}
		_ = os.Remove(path)
		if before != nil {
			if err := os.WriteFile(path, before, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := release.Check(r.Out); err != nil {
			t.Errorf("%s restored: %v", name, err)
		}
	}
}

func TestTheInstallYAMLIsOfItsVersion(t *testing.T) {
	c, err := chart.Load(filepath.Join(config, "chart"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := release.Install(config, c, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{"image: causeway/causeway-operator:v1.2.3\n", "image: causeway/causeway-gateway:v1.2.3\n", "app.kubernetes.io/version: v1.2.3\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q", want)
		}
	}
	if strings.Contains(text, ":dev\n") || strings.Contains(text, "version: dev\n") {
		t.Error("something is still of the version dev")
	}
	if diff := cmp.Diff(len(kustomized(t, "default")), len(parse(t, text))); diff != "" {
		t.Error(diff)
	}
}

// This module's own command stands for a released one: it has many modules.
func TestTheBillOfMaterialsNamesEveryModule(t *testing.T) {
	self := filepath.Join(t.TempDir(), "packaging")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", self, "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := buildinfo.ReadFile(self)
	if err != nil || len(info.Deps) < 10 {
		t.Fatalf("the command has no build information: %v", err)
	}
	data, err := release.BillOfMaterials([]string{self}, "v1.2.3", time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	var doc release.Document
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.SPDXVersion != "SPDX-2.3" || doc.CreationInfo.Created != "2023-11-14T22:13:20Z" {
		t.Errorf("%s of %s", doc.SPDXVersion, doc.CreationInfo.Created)
	}
	listed := map[string]bool{}
	for _, p := range doc.Packages {
		if listed[p.SPDXID] {
			t.Errorf("%s is listed twice", p.SPDXID)
		}
		listed[p.SPDXID], listed[p.Name] = true, true
	}
	for _, dep := range info.Deps {
		if !listed[dep.Path] {
			t.Errorf("%s is not listed", dep.Path)
		}
	}
	if !listed["stdlib"] {
		t.Error("the standard library is not listed")
	}
	for _, r := range doc.Relationships {
		if !listed[r.Related] {
			t.Errorf("%s is related to and not listed", r.Related)
		}
	}
	if _, err := release.BillOfMaterials([]string{"release_test.go"}, "v1", time.Unix(0, 0)); err == nil {
		t.Error("a source file was taken for a binary")
	}
}
