package controllertest

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Want checks one condition: its status, its reason, and texts that its message
// must hold.
func Want(t testing.TB, list []metav1.Condition, kind string, status metav1.ConditionStatus, reason string, says ...string) {
	t.Helper()
	c := meta.FindStatusCondition(list, kind)
	if c == nil {
		t.Errorf("there is no condition %s among %+v", kind, list)
		return
	}
	if c.Status != status || c.Reason != reason {
		t.Errorf("%s is %s, %s (%s); want %s, %s", kind, c.Status, c.Reason, c.Message, status, reason)
	}
	for _, text := range says {
		if !strings.Contains(c.Message, text) {
			t.Errorf("%s, %s says %q and not %q", kind, c.Reason, c.Message, text)
		}
	}
}
