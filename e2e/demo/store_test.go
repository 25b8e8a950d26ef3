package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/e2e/testbed"
)

// files writes a client's three files and returns an environment that names them.
func files(t *testing.T) map[string]string {
	t.Helper()
	ca, err := testbed.NewAuthority("etcd")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(testbed.Subject{CommonName: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{storeVar: "https://127.0.0.1:2379"}
	for name, data := range map[string][]byte{storeCAVar: ca.CertPEM, storeCertVar: pair.CertPEM, storeKeyVar: pair.KeyPEM} {
		env[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(env[name], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return env
}

func TestWithoutEndpointsTheDemoRunsAStoreItself(t *testing.T) {
	u, err := userStore(func(string) string { return "" })
	if u != nil || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestSeveralEndpointsAreTaken(t *testing.T) {
	env := files(t)
	env[storeVar] = "https://10.0.0.1:2379, https://etcd-2.example.com:2379,https://[fd00::1]:2379"
	u, err := userStore(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(u.Addrs(), " "); got != "10.0.0.1:2379 [fd00::1]:2379 etcd-2.example.com:2379" {
		t.Error(got)
	}
}

func TestWhatIsWrongWithAUsersStoreIsToldBeforeAnythingStarts(t *testing.T) {
	for says, change := range map[string]func(map[string]string){
		"POLICY_STORE_CA is set but POLICY_STORE is not":               func(e map[string]string) { e[storeVar] = "" },
		"POLICY_STORE_CA is not set: with POLICY_STORE it must name":   func(e map[string]string) { e[storeCAVar] = "" },
		"POLICY_STORE_KEY is not set":                                  func(e map[string]string) { e[storeKeyVar] = "" },
		"POLICY_STORE_CERT must name the file of a client certificate": func(e map[string]string) { e[storeCertVar] += "-not" },
		"POLICY_STORE_CA holds no certificate":                         func(e map[string]string) { e[storeCAVar] = e[storeKeyVar] },
		"POLICY_STORE_CERT and POLICY_STORE_KEY do not make":           func(e map[string]string) { e[storeCertVar] = e[storeCAVar] },
		"is plain http":                            func(e map[string]string) { e[storeVar] = "http://127.0.0.1:2379" },
		`"127.0.0.1:2379" is not an endpoint`:      func(e map[string]string) { e[storeVar] = "127.0.0.1:2379" },
		`"https://etcd" is not an endpoint`:        func(e map[string]string) { e[storeVar] = "https://etcd" },
		`"https://etcd:2379/x" is not an endpoint`: func(e map[string]string) { e[storeVar] = "https://etcd:2379/x" },
		`"" is not an endpoint`:                    func(e map[string]string) { e[storeVar] += "," },
		"POLICY_STORE names 10 endpoints": func(e map[string]string) {
			e[storeVar] = "https://a:1,https://a:2,https://a:3,https://a:4,https://a:5,https://a:6,https://a:7,https://a:8,https://a:9,https://b:1"
		},
		"POLICY_STORE names an endpoint twice":                                  func(e map[string]string) { e[storeVar] += "," + e[storeVar] },
		"no such file or directory\nPOLICY_STORE_KEY must name the file of tha": func(e map[string]string) { e[storeCertVar], e[storeKeyVar] = "not", "not" },
	} {
		t.Run(says, func(t *testing.T) {
			env := files(t)
			change(env)
			if _, err := userStore(func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("want %q, got %v", says, err)
			}
		})
	}
}
