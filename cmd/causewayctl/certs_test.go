package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func ctl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := command(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCertsMakeAuthoritiesThatVerifyAndKeepWhatExists(t *testing.T) {
	out := filepath.Join(t.TempDir(), "certs")
	if text, err := ctl(t, "certs", "--out", out, "--clusters", "us-east", "--store-host", "store.example.org,10.0.0.1"); err != nil {
		t.Fatal(err, text)
	}
	root, first := read(t, out, "root.crt"), read(t, out, "us-east.yaml")
	text, err := ctl(t, "certs", "--out", out, "--clusters", "us-east,eu-west")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(root, read(t, out, "root.crt")) || !bytes.Equal(first, read(t, out, "us-east.yaml")) {
		t.Error("adding a cluster changed what was there")
	}
	if !strings.Contains(text, "eu-west.yaml") || strings.Contains(text, "us-east.yaml") {
		t.Errorf("said:\n%s", text)
	}
	for _, cluster := range []string{"us-east", "eu-west"} {
		secrets := readSecrets(t, filepath.Join(out, cluster+".yaml"))
		verify(t, root, secrets["causeway-ca"], nil, x509.ExtKeyUsageAny)
		verify(t, read(t, out, "store-ca.crt"), secrets["causeway-store"], nil, x509.ExtKeyUsageClientAuth)
	}
	server := map[string]string{"tls.crt": string(read(t, out, "store/tls.crt")), "tls.key": string(read(t, out, "store/tls.key"))}
	verify(t, read(t, out, "store/ca.crt"), server, []string{"store.example.org", "10.0.0.1"}, x509.ExtKeyUsageServerAuth)
	if info, err := os.Stat(filepath.Join(out, "root.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("root.key: %v, %v", info.Mode(), err)
	}
}

func TestCertsRefuseWhatCannotWork(t *testing.T) {
	out := filepath.Join(t.TempDir(), "certs")
	for says, args := range map[string][]string{
		"--clusters is empty":   {"--store-host", "s"},
		"--store-host is empty": {"--clusters", "a"},
		`"Us_East"`:             {"--clusters", "Us_East", "--store-host", "s"},
		"--validity":            {"--clusters", "a", "--store-host", "s", "--validity", "1m"},
	} {
		if _, err := ctl(t, append([]string{"certs", "--out", out}, args...)...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want %q", args, err, says)
		}
	}
	if exists(out) {
		t.Error("a refused call wrote files")
	}
	if _, err := ctl(t, "certs", "--out", out, "--clusters", "a", "--store-host", "s"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(out, "root.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := ctl(t, "certs", "--out", out, "--clusters", "b"); err == nil || !strings.Contains(err.Error(), "root.key is missing") {
		t.Errorf("half an authority: %v", err)
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func readSecrets(t *testing.T, file string) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	for _, document := range strings.Split(string(read(t, filepath.Dir(file), filepath.Base(file))), "\n---\n") {
		var s corev1.Secret
		if err := yaml.UnmarshalStrict([]byte(document), &s); err != nil {
			t.Fatal(err)
		}
		if s.Namespace != "causeway-system" {
			t.Errorf("Secret %s is in namespace %q", s.Name, s.Namespace)
		}
		out[s.Name] = s.StringData
	}
	return out
}

// verify checks that key and certificate belong together and chain to root.
func verify(t *testing.T, root []byte, pair map[string]string, hosts []string, usage x509.ExtKeyUsage) {
	t.Helper()
	if _, err := tls.X509KeyPair([]byte(pair["tls.crt"]), []byte(pair["tls.key"])); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(pair["tls.crt"]))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		t.Error(err)
	}
	for _, host := range hosts {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}
