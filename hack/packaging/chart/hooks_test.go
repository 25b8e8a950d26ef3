package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func equal(a, b any) bool { return cmp.Equal(a, b) }

func TestHooksRunAfterTheirRightsAndLeaveNothing(t *testing.T) {
	for command, hook := range map[string]string{"crds": "pre-upgrade", "cleanup": "pre-delete"} {
		objects := rendered(t)
		job := find[*batchv1.Job](t, objects, "causeway-"+command)
		if args := job.Spec.Template.Spec.Containers[0].Args; !slices.Equal(args, []string{command}) {
			t.Errorf("%s runs %v", job.Name, args)
		}
		at := weight(t, job)
		of := 0
		for _, o := range objects {
			if o.GetName() != job.Name {
				continue
			}
			of++
			a := o.GetAnnotations()
			if a["helm.sh/hook"] != hook || a["helm.sh/hook-delete-policy"] != "before-hook-creation,hook-succeeded" {
				t.Errorf("%T %s: annotations %v", o, o.GetName(), a)
			}
			if o != object(job) && weight(t, o) >= at {
				t.Errorf("%T %s comes no earlier than the job", o, o.GetName())
			}
		}
		if of < 4 {
			t.Errorf("%s has %d objects, want an account, rights, a binding and a job", command, of)
		}
		if job.Spec.ActiveDeadlineSeconds == nil {
			t.Errorf("%s may run for ever", job.Name)
		}
	}
}

func weight(t *testing.T, o object) int {
	t.Helper()
	n, err := strconv.Atoi(o.GetAnnotations()["helm.sh/hook-weight"])
	if err != nil {
		t.Fatalf("%s: %v", o.GetName(), err)
	}
	return n
}

// Helm leaves CRDs alone in an upgrade: the hook must be allowed to touch each.
func TestTheUpgradeHookMayWriteEveryCRD(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(dir, "crds", "*.yaml"))
	if err != nil || len(files) != 5 {
		t.Fatalf("%d CRDs (%v), want 5", len(files), err)
	}
	var names []string
	for _, path := range files {
		var crd metav1.PartialObjectMetadata
		if err := yaml.Unmarshal([]byte(readFile(t, path)), &crd); err != nil {
			t.Fatal(err)
		}
		names = append(names, crd.Name)
	}
	role := find[*rbacv1.ClusterRole](t, rendered(t), "causeway-crds")
	var may []string
	for _, rule := range role.Rules {
		may = append(may, rule.ResourceNames...)
	}
	slices.Sort(names)
	if !slices.Equal(names, may) {
		t.Errorf("CRDs %v, the hook may write %v", names, may)
	}
}
