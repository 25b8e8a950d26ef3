package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

// serveStore runs a real store with the certificates that `store init` has made.
func serveStore(t *testing.T, certs string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.ListenClient = t.TempDir(), l.Addr().String()
	cfg.CertFile, cfg.KeyFile, cfg.ClientCAFile = filepath.Join(certs, "store/tls.crt"), filepath.Join(certs, "store/tls.key"), filepath.Join(certs, "store/ca.crt")
	_ = l.Close()
	s, err := server.New(cfg, server.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-s.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return "https://" + cfg.ListenClient
}

func TestStoreIsSetUpFromNothingByItsCommands(t *testing.T) {
	certs := filepath.Join(t.TempDir(), "certs")
	run := func(says string, args ...string) string {
		t.Helper()
		text, err := ctl(t, append([]string{"store", "--certs", certs}, args...)...)
		if err != nil || !strings.Contains(text, says) {
			t.Fatalf("%v: %v, want %q in:\n%s", args, err, says, text)
		}
		if strings.Contains(text, "PRIVATE KEY") && !strings.Contains(strings.Join(args, " "), "secret") {
			t.Errorf("%v prints a key", args)
		}
		return text
	}
	run("start the store's members", "init", "--store-host", "127.0.0.1")
	root := read(t, certs, "store-root.crt")
	at := "--endpoints=" + serveStore(t, certs)
	run("turned authentication on", "init", at, "--federation", "prod")
	if string(root) != string(read(t, certs, "store-root.crt")) {
		t.Error("root's certificate was made anew")
	}
	run("wrote "+filepath.Join(certs, "us-east", "tls.crt"), "add-cluster", "us-east", "--federation", "prod", "--author", at)
	if name := commonName(t, read(t, certs, "us-east/tls.crt")); name != "us-east" {
		t.Errorf("the certificate's common name is %q", name)
	}
	secret := run("kind: Secret", "add-cluster", "eu-west", "--federation", "prod", "-o", "secret", at)
	for _, want := range []string{"name: causeway-store", "namespace: causeway-system", "ca.crt:", "tls.crt:", "tls.key:"} {
		if !strings.Contains(secret, want) {
			t.Errorf("the Secret has no %q", want)
		}
	}
	run("authentication on", "status", at)
	run("this would delete, with --yes", "remove-cluster", "eu-west", "--federation", "prod", at)
	run("deleted user eu-west", "remove-cluster", "eu-west", "--federation", "prod", "--yes", at)
	run("nothing to do", "remove-cluster", "eu-west", "--federation", "prod", at)
	file := filepath.Join(t.TempDir(), "backup.db")
	run("sha256 ", "backup", file, at)
	run("causewayctl store accept", "restore", file, "--data-dir", filepath.Join(t.TempDir(), "new"))
	run("history begins at 1", "compact-check", "--federation", "prod", at)

	us := []string{"--cert", filepath.Join(certs, "us-east/tls.crt"), "--key", filepath.Join(certs, "us-east/tls.key")}
	if _, err := ctl(t, append([]string{"store", "--certs", certs, "add-cluster", "ap-south", "--federation", "prod", at}, us...)...); err == nil || !strings.Contains(err.Error(), "root's client certificate") {
		t.Errorf("a cluster that adds another: %v", err)
	}
}

func TestStoreCommandsRefuseWhatCannotWork(t *testing.T) {
	certs := filepath.Join(t.TempDir(), "certs")
	for says, args := range map[string][]string{
		"--store-host is empty":   {"init"},
		"--validity":              {"init", "--store-host", "h", "--validity", "1m"},
		"--endpoints is empty":    {"status"},
		"--federation is empty":   {"add-cluster", "a"},
		"belongs to the store":    {"add-cluster", "root", "--federation", "prod"},
		"store-ca.key is missing": {"add-cluster", "a", "--federation", "prod"},
		"--output":                {"add-cluster", "a", "--federation", "prod", "-o", "yaml"},
		"--peer-url is empty":     {"add-member", "store-2"},
		"--data-dir is empty":     {"restore", "file"},
		"--store-ca":              {"backup", "file", "--endpoints", "https://127.0.0.1:1"},
	} {
		if _, err := ctl(t, append([]string{"store", "--certs", certs}, args...)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", args, err, says)
		}
	}
	if exists(certs) {
		t.Error("a refused call wrote files")
	}
}

func commonName(t *testing.T, data []byte) string {
	t.Helper()
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Subject.CommonName
}
