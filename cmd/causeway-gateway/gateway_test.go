package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTakenPortSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	o := good(t)
	o.listen = l.Addr().String()
	err = run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), "taken by another process") {
		t.Fatalf("got %v", err)
	}
}

func good(t *testing.T) *options {
	t.Helper()
	o := defaultOptions()
	o.instance, o.cluster, o.federation, o.advertise, o.local = "gw-1", "us-east", "prod", "127.0.0.1:15443", "127.0.0.1"
	o.listen, o.adminAddress, o.identityDir, o.operators = "127.0.0.1:0", "127.0.0.1:0", t.TempDir(), []string{"127.0.0.1:15010"}
	return o
}

func TestBadFlagsAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*options){
		"--local-address": func(o *options) { o.local = "nonsense" },
		"--listen":        func(o *options) { o.listen = "nonsense" },
		"--identity-dir":  func(o *options) { o.identityDir = file },
		"cluster":         func(o *options) { o.cluster = "" },
		"federation":      func(o *options) { o.federation = "" },
		"advertised":      func(o *options) { o.advertise = "nonsense" },
	} {
		o := good(t)
		change(o)
		if _, err := o.config(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
	if _, err := good(t).config(); err != nil {
		t.Errorf("good flags: %v", err)
	}
}
