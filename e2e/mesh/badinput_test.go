package mesh_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/testbed"
)

// reason is why a condition of a cluster's MeshFederation stands as it does.
func (s *scene) reason(t *testing.T, cluster, condition string) string {
	t.Helper()
	return s.kubectl(t, cluster, "get", "meshfederation", "demo", "-o", `jsonpath={.status.conditions[?(@.type=="`+condition+`")].reason}`)
}

func (s *scene) awaitReason(t *testing.T, cluster, condition, want string) {
	t.Helper()
	eventually(t, 30*time.Second, func() string {
		if got := s.reason(t, cluster, condition); got != want {
			return cluster + ": " + condition + " has the reason " + got + ", want " + want
		}
		return ""
	})
}

// flows says that the client is still served by the first region of the order.
func (s *scene) flows(t *testing.T) {
	t.Helper()
	if err := s.client.AwaitServedBy(t.Context(), "us-east", 20*time.Second); err != nil {
		t.Errorf("what worked before does not work now: %v", err)
	}
}

func (s *scene) unreachableStore(t *testing.T) {
	set := func(endpoint string) {
		s.kubectl(t, "eu-west", "patch", "meshfederation", "demo", "--type=merge", "-p", `{"spec":{"policyStore":{"endpoints":["`+endpoint+`"]}}}`)
	}
	set("https://10.40.0.1:9")
	s.awaitReason(t, "eu-west", "PolicyStoreReady", "Unreachable")
	s.flows(t)
	set("https://10.40.0.1:2379")
	s.awaitReason(t, "eu-west", "PolicyStoreReady", "Connected")
}

func (s *scene) wrongStoreCA(t *testing.T) {
	other, err := testbed.NewAuthority("somebody else")
	if err != nil {
		t.Fatal(err)
	}
	before := s.kubectl(t, "eu-west", "-n", "causeway-system", "get", "secret", "causeway-store", "-o", `jsonpath={.data.ca\.crt}`)
	set := func(ca string) {
		s.kubectl(t, "eu-west", "-n", "causeway-system", "patch", "secret", "causeway-store", "--type=merge", "-p", `{"data":{"ca.crt":"`+ca+`"}}`)
	}
	set(base64.StdEncoding.EncodeToString(other.CertPEM))
	s.awaitReason(t, "eu-west", "PolicyStoreReady", "Untrusted")
	s.flows(t)
	set(strings.TrimSpace(before))
	s.awaitReason(t, "eu-west", "PolicyStoreReady", "Connected")
}

func (s *scene) secondFederation(t *testing.T) {
	c := s.world.Clusters["eu-west"]
	manifest := s.kubectl(t, "eu-west", "get", "meshfederation", "demo", "-o", "jsonpath={.spec}")
	if err := c.Apply(t.Context(), `{"apiVersion":"federation.causeway.dev/v1alpha1","kind":"MeshFederation","metadata":{"name":"second"},"spec":`+manifest+`}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, func() string {
		got := s.kubectl(t, "eu-west", "get", "meshfederation", "second", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`)
		if got != "AlreadyFederated" {
			return "the second one says " + got
		}
		return ""
	})
	s.kubectl(t, "eu-west", "delete", "meshfederation", "second", "--timeout=20s")
	s.flows(t)
}

// nameTaken makes us-west leave and come back under us-east's name, then under its
// own.
func (s *scene) nameTaken(t *testing.T) {
	west := s.world.Clusters["us-west"]
	s.kubectl(t, "us-west", "delete", "meshfederation", "demo", "--timeout=40s")
	eventually(t, 10*time.Second, func() string {
		if got := s.kubectl(t, "eu-west", "get", "meshfederation", "demo", "-o", "jsonpath={.status.memberCount}"); got != "2" {
			return "eu-west still counts " + got + " members"
		}
		return ""
	})
	if err := s.ApplySample(t.Context(), west, "meshfederation-us-east.yaml"); err != nil {
		t.Fatal(err)
	}
	s.awaitReason(t, "us-west", "Registered", "NameConflict")
	s.flows(t)
	s.kubectl(t, "us-west", "delete", "meshfederation", "demo", "--timeout=60s")
	if err := s.ApplySample(t.Context(), west, "meshfederation-us-west.yaml"); err != nil {
		t.Fatal(err)
	}
	s.awaitReason(t, "us-west", "Ready", "Ready")
	s.flows(t)
}
