package observe

import (
	"encoding/json"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Cluster is one cluster to scrape.
type Cluster struct {
	Name string
	// Targets is a file of what Targets makes.
	Targets string
}

// Place says how a test's Prometheus reaches what it scrapes.
type Place struct {
	Rules    string // path of the rules
	Proxy    string // URL of the HTTP proxy through which every target is reached
	Interval string // of scrapes and evaluations, a Prometheus duration
	Clusters []Cluster
}

// Configure makes a Prometheus configuration from the sample for one real cluster: its job
// once for each cluster, with a file in the place of Kubernetes' discovery, which Debian's
// Prometheus is built without.
func Configure(sample []byte, at Place) ([]byte, error) {
	var conf map[string]any
	if err := yaml.Unmarshal(sample, &conf); err != nil {
		return nil, fmt.Errorf("reading the sample configuration: %w", err)
	}
	conf["global"] = map[string]any{"scrape_interval": at.Interval, "evaluation_interval": at.Interval, "scrape_timeout": at.Interval}
	conf["rule_files"] = []string{at.Rules}
	jobs, _ := conf["scrape_configs"].([]any)
	if len(jobs) != 1 {
		return nil, fmt.Errorf("the sample has %d jobs, want one", len(jobs))
	}
	var out []any
	for _, c := range at.Clusters {
		job, err := job(jobs[0], c, at)
		if err != nil {
			return nil, err
		}
		out = append(out, job)
	}
	conf["scrape_configs"] = out
	return yaml.Marshal(conf)
}

func job(sample any, c Cluster, at Place) (map[string]any, error) {
	text, err := json.Marshal(sample) // a deep copy
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, err
	}
	if _, ok := out["kubernetes_sd_configs"]; !ok {
		return nil, fmt.Errorf("the sample's job discovers nothing in Kubernetes")
	}
	delete(out, "kubernetes_sd_configs")
	out["job_name"] = fmt.Sprintf("%v-%s", out["job_name"], c.Name)
	out["file_sd_configs"] = []any{map[string]any{"files": []string{c.Targets}}}
	out["proxy_url"] = at.Proxy
	rules, _ := out["relabel_configs"].([]any)
	for _, r := range rules {
		if rule, _ := r.(map[string]any); rule["target_label"] == "observer" {
			rule["replacement"] = c.Name
			return out, nil
		}
	}
	return nil, fmt.Errorf("the sample says nowhere whose view a series is (target_label observer)")
}

var notInLabels = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// Targets are pods as Prometheus' discovery of the role pod tells them, in the format of
// file_sd: one target for each container port.
func Targets(pods []corev1.Pod) ([]byte, error) {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	for _, p := range pods {
		for _, c := range p.Spec.Containers {
			for _, port := range c.Ports {
				labels := map[string]string{
					"__meta_kubernetes_pod_name":                p.Name,
					"__meta_kubernetes_pod_container_port_name": port.Name,
				}
				for k, v := range p.Labels {
					labels["__meta_kubernetes_pod_label_"+notInLabels.ReplaceAllString(k, "_")] = v
				}
				groups = append(groups, group{[]string{fmt.Sprintf("%s:%d", p.Status.PodIP, port.ContainerPort)}, labels})
			}
		}
	}
	return json.Marshal(groups)
}
