package chart_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

// podMonitor is what the chart uses of the Prometheus operator's kind.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []struct {
			Port     string    `json:"port"`
			Path     string    `json:"path"`
			Interval string    `json:"interval"`
			Relabel  []relabel `json:"relabelings"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

type relabel struct {
	TargetLabel string `json:"targetLabel"`
	Replacement string `json:"replacement"`
}

func (p *podMonitor) DeepCopyObject() runtime.Object { out := *p; return &out }

// prometheusRule is what the rules use of the Prometheus operator's kind.
type prometheusRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Record      string            `json:"record"`
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"spec"`
}

func (p *prometheusRule) DeepCopyObject() runtime.Object { out := *p; return &out }

func decoder() runtime.Decoder {
	s := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(s))
	utilruntime.Must(api.AddToScheme(s))
	s.AddKnownTypeWithName(schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PodMonitor"}, &podMonitor{})
	s.AddKnownTypeWithName(schema.GroupVersionKind{Group: "monitoring.coreos.com", Version: "v1", Kind: "PrometheusRule"}, &prometheusRule{})
	return serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
}

type object interface {
	runtime.Object
	metav1.Object
}

// decode reads every document into its Go type; a field that the type does not
// have, or one that is there twice, fails the test.
func decode(t *testing.T, name, text string) (out []object) {
	t.Helper()
	into := decoder()
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		decoded, _, err := into.Decode([]byte(doc), nil, nil)
		if err != nil {
			t.Fatalf("%s: %v in:\n%s", name, err, doc)
		}
		out = append(out, decoded.(object))
	}
	return out
}

// find gives the one object of a type and name.
func find[T object](t *testing.T, objects []object, name string) T {
	t.Helper()
	var found []T
	for _, o := range objects {
		if typed, ok := o.(T); ok && o.GetName() == name {
			found = append(found, typed)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T are called %s", len(found), *new(T), name)
	}
	return found[0]
}

// templates are the pods that objects make.
func templates(objects []object) map[string]corev1.PodTemplateSpec {
	out := map[string]corev1.PodTemplateSpec{}
	for _, o := range objects {
		switch o := o.(type) {
		case *appsv1.Deployment:
			out[o.Name] = o.Spec.Template
		case *appsv1.StatefulSet:
			out[o.Name] = o.Spec.Template
		case *batchv1.Job:
			out[o.Name] = o.Spec.Template
		}
	}
	return out
}
