package main

import (
	"net"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/causeway-mesh/causeway/federation"
)

func TestTakenPortSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = listen("--feed-address", l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "--feed-address") || !strings.Contains(err.Error(), "taken by another process") {
		t.Fatalf("got %v", err)
	}
}

func TestBadFlagsAreAllNamed(t *testing.T) {
	o := defaultOptions()
	o.replica, o.podIP, o.feedAddress, o.lease = "", "nonsense", "nonsense", 0
	err := o.validate()
	if err == nil {
		t.Fatal("bad flags were taken")
	}
	for _, want := range []string{"--replica", "--pod-ip", "--feed-address", "leader election"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
	if _, err := logger("loud"); err == nil || !strings.Contains(err.Error(), "--log-level") {
		t.Errorf("log level: %v", err)
	}
}

func TestEpochIsReadFromTheLease(t *testing.T) {
	for text, want := range map[string]uint64{"7": 7, "": 0, "x": 0, "-1": 0} {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{epochAnnotation: text}}}
		if got := epochOf(lease); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestExplainSelectsByServiceOrPort(t *testing.T) {
	p := federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}
	for text, want := range map[string]bool{"shop/checkout": true, "shop/checkout:80": true, "shop/checkout:81": false, "shop/other": false} {
		only, err := selector(text)
		if err != nil || only(p) != want {
			t.Errorf("%s: %v, want %t", text, err, want)
		}
	}
	if _, err := selector("checkout"); err == nil || !strings.Contains(err.Error(), "namespace/name") {
		t.Errorf("got %v", err)
	}
}
