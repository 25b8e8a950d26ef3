package preflight

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/causeway-mesh/causeway/controllers/controllertest"
)

const namespace = "causeway-system"

var server *controllertest.APIServer

func TestMain(m *testing.M) {
	var err error
	if server, err = controllertest.Start(controllertest.CertManager); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = server.Stop()
	os.Exit(code)
}

func clientset(t *testing.T, user string) kubernetes.Interface {
	t.Helper()
	config := rest.CopyConfig(server.Config)
	config.Impersonate.UserName = user
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The order matters: kinds appear one after the other.
func TestMissingKindsAreAllNamedUntilTheyAreThere(t *testing.T) {
	admin := clientset(t, "")
	err := Check(t.Context(), admin, namespace)
	for _, name := range []string{"meshfederations.federation.causeway.dev", "effectivepolicies", "serviceexports.multicluster.x-k8s.io", "config/crd"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("no CRDs: %v, want %s named", err, name)
		}
	}
	if err := server.Install(controllertest.Causeway); err != nil {
		t.Fatal(err)
	}
	err = Check(t.Context(), admin, namespace)
	if err == nil || strings.Contains(err.Error(), "meshfederations") || !strings.Contains(err.Error(), "serviceimports.multicluster.x-k8s.io") {
		t.Errorf("without the MCS API: %v", err)
	}
	if err := server.Install(controllertest.MCS); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), admin, namespace); err != nil {
		t.Errorf("all is there: %v", err)
	}
}

func TestMissingRightsAreNamedWithWhatToApply(t *testing.T) {
	if err := server.Install(controllertest.Causeway, controllertest.MCS); err != nil {
		t.Fatal(err)
	}
	// Whoever may only read lacks what is written.
	admin := clientset(t, "")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}},
	}}
	if _, err := admin.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reader"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "reader"}}}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	reader := clientset(t, "reader")
	var err error
	controllertest.Await(t, "the API server to have taken up the role", func() bool {
		err = Check(t.Context(), reader, namespace)
		return err != nil && !strings.Contains(err.Error(), "watch meshfederations")
	})
	for _, want := range []string{"create serviceimports.multicluster.x-k8s.io", "update leases.coordination.k8s.io", "config/rbac"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q named", err, want)
		}
	}
}

func TestOperatorThatMayNotAskForItsRightsStarts(t *testing.T) {
	if err := server.Install(controllertest.Causeway, controllertest.MCS); err != nil {
		t.Fatal(err)
	}
	// As where system:basic-user is bound to nobody.
	config := rest.CopyConfig(server.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "mute", Groups: []string{"mute"}}
	admin := clientset(t, "")
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "mute"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:discovery"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "mute"}}}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	basic, err := admin.RbacV1().ClusterRoleBindings().Get(t.Context(), "system:basic-user", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := basic.Subjects
	basic.Subjects = nil
	if basic, err = admin.RbacV1().ClusterRoleBindings().Update(t.Context(), basic, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		basic.Subjects = before
		_, _ = admin.RbacV1().ClusterRoleBindings().Update(context.Background(), basic, metav1.UpdateOptions{})
	})
	mute, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	controllertest.Await(t, "the API server to have taken up the roles", func() bool {
		return Check(t.Context(), mute, namespace) == nil
	})
}

func TestSilentAPIServerIsNoFinding(t *testing.T) {
	c, err := kubernetes.NewForConfig(&rest.Config{Host: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), c, namespace); err == nil || strings.Contains(err.Error(), "does not know") || !strings.Contains(err.Error(), "asking the API server") {
		t.Errorf("%v", err)
	}
}

func TestCheckEndsWithItsContextWhateverTheAPIServerDoes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := kubernetes.NewForConfig(&rest.Config{Host: "http://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := Check(ctx, c, namespace); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}
