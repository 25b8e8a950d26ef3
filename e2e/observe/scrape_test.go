package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func TestConfigurationKeepsTheSamplesRelabelling(t *testing.T) {
	sample := read(t, "prometheus/causeway.yaml")
	out, err := Configure(sample, Place{Rules: "/r.yaml", Proxy: "http://127.0.0.1:1", Interval: "1s", Clusters: []Cluster{{"a", "/a.json"}, {"b", "/b.json"}}})
	if err != nil {
		t.Fatal(err)
	}
	type file struct {
		Jobs []struct {
			Name    string           `json:"job_name"`
			Relabel []map[string]any `json:"relabel_configs"`
		} `json:"scrape_configs"`
	}
	var before, after file
	for text, into := range map[string]*file{string(sample): &before, string(out): &after} {
		if err := yaml.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"a", "b"} {
		want := before.Jobs[0].Relabel
		want[len(want)-1]["replacement"] = name
		if d := cmp.Diff(want, after.Jobs[i].Relabel); d != "" || after.Jobs[i].Name != "causeway-"+name {
			t.Errorf("job %s: %s", after.Jobs[i].Name, d)
		}
	}
}

func TestSampleWithoutAnObserverIsRefused(t *testing.T) {
	sample := strings.ReplaceAll(string(read(t, "prometheus/causeway.yaml")), "target_label: observer", "target_label: viewer")
	if _, err := Configure([]byte(sample), Place{Clusters: []Cluster{{"a", "/a.json"}}}); err == nil || !strings.Contains(err.Error(), "observer") {
		t.Errorf("got %v", err)
	}
}

func TestTargetsAreEveryPortWithThePodsLabels(t *testing.T) {
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"app.kubernetes.io/part-of": "causeway"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 8080}, {Name: "feed", ContainerPort: 1}}}}},
		Status:     corev1.PodStatus{PodIP: "10.0.0.1"},
	}
	got, err := Targets([]corev1.Pod{pod})
	if err != nil {
		t.Fatal(err)
	}
	one := func(port, name string) string {
		return `{"targets":["10.0.0.1:` + port + `"],"labels":{"__meta_kubernetes_pod_container_port_name":"` + name +
			`","__meta_kubernetes_pod_label_app_kubernetes_io_part_of":"causeway","__meta_kubernetes_pod_name":"p"}}`
	}
	if d := cmp.Diff("["+one("8080", "admin")+","+one("1", "feed")+"]", string(got)); d != "" {
		t.Error(d)
	}
}
