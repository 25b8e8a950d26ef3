package mesh_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/e2e/testbed"
)

// ownEtcd is an etcd as a user has one: on 127.0.0.1, client certificates required.
// For the demo, started beside it, this test's namespace is the host.
type ownEtcd struct {
	endpoint, dir string
	client        *clientv3.Client
}

func startOwnEtcd(t *testing.T, bin string) *ownEtcd {
	t.Helper()
	e := &ownEtcd{endpoint: "https://" + freeAddr(t), dir: t.TempDir()}
	pair := e.files(t)
	cmd := exec.Command(filepath.Join(bin, "etcd"),
		"--data-dir="+filepath.Join(e.dir, "data"), "--listen-client-urls="+e.endpoint, "--advertise-client-urls="+e.endpoint,
		"--listen-peer-urls=http://127.0.0.1:0", "--log-level=error", "--client-cert-auth", "--trusted-ca-file="+e.path("ca.crt"),
		"--cert-file="+e.path("tls.crt"), "--key-file="+e.path("tls.key"))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig fires when the thread that forked ends
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	ca, err := os.ReadFile(e.path("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	e.client, err = clientv3.New(clientv3.Config{Endpoints: []string{e.endpoint}, TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.client.Close() })
	eventually(t, 20*time.Second, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.client.Get(ctx, "x"); err != nil {
			return err.Error()
		}
		return ""
	})
	return e
}

func freeAddr(t *testing.T) string {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (e *ownEtcd) path(name string) string { return filepath.Join(e.dir, name) }

// files writes one pair for the server and every client, and a CA that has nothing
// to do with it.
func (e *ownEtcd) files(t *testing.T) tls.Certificate {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ca, err := testbed.NewAuthority("a user's etcd")
	must(err)
	other, err := testbed.NewAuthority("somebody else")
	must(err)
	pair, err := ca.Issue(testbed.Subject{CommonName: "etcd", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, DNSNames: []string{"localhost"}})
	must(err)
	for name, data := range map[string][]byte{"ca.crt": ca.CertPEM, "other.crt": other.CertPEM, "tls.crt": pair.CertPEM, "tls.key": pair.KeyPEM} {
		must(os.WriteFile(e.path(name), data, 0o600))
	}
	loaded, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	must(err)
	return loaded
}

// demo is `make demo` with the store, once everything is built.
func (e *ownEtcd) demo(t *testing.T, bin, endpoints, ca string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "causeway-demo"), "--out", filepath.Join(t.TempDir(), "out"))
	cmd.Env = append(os.Environ(), "CAUSEWAY_BIN="+bin, "POLICY_STORE="+endpoints,
		"POLICY_STORE_CA="+e.path(ca), "POLICY_STORE_CERT="+e.path("tls.crt"), "POLICY_STORE_KEY="+e.path("tls.key"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd
}

func (e *ownEtcd) keys(t *testing.T, prefix string) (out []string) {
	t.Helper()
	resp, err := e.client.Get(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		out = append(out, string(kv.Key))
	}
	return out
}

// TestThePolicyStoreMayBeTheUsers runs the demo's set-up with an etcd of the user's
// own, up to the first request from another region.
func TestThePolicyStoreMayBeTheUsers(t *testing.T) {
	bin := findBin(t)
	e := startOwnEtcd(t, bin)
	for name, c := range map[string]struct{ endpoints, ca, says string }{
		"a wrong CA":              {e.endpoint, "other.crt", "is not trusted"},
		"an endpoint that is out": {e.endpoint + ",https://" + freeAddr(t), "ca.crt", "connection refused"},
	} {
		t.Run(name+" is told before anything starts", func(t *testing.T) { e.refuses(t, bin, c.endpoints, c.ca, c.says) })
	}
	t.Run("the federation lives there and leaves nothing", func(t *testing.T) { e.serves(t, bin) })
}

func (e *ownEtcd) refuses(t *testing.T, bin, endpoints, ca, says string) {
	out, err := e.demo(t, bin, endpoints, ca).CombinedOutput()
	if err == nil || !strings.Contains(string(out), says) || strings.Contains(string(out), "starting three clusters") {
		t.Errorf("want %q and no cluster, got %v:\n%s", says, err, out)
	}
	if left := e.keys(t, "/causeway/"); len(left) > 0 {
		t.Errorf("left in the etcd: %v", left)
	}
}

func (e *ownEtcd) serves(t *testing.T, bin string) {
	localhost := strings.Replace(e.endpoint, "127.0.0.1", "localhost", 1)
	cmd := e.demo(t, bin, localhost, "ca.crt")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // Pdeathsig fires when the thread that forked ends
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(4*time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	served, printed := false, ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "first request: answered by us-east") {
			served = true
			e.holdsFederation(t)
			_ = cmd.Process.Signal(os.Interrupt)
		}
	}
	err = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !served {
		t.Errorf("the demo, interrupted before its end, ended with %v:\n%s%s", err, printed, errs.String())
	}
	if left := e.keys(t, "/causeway/"); len(left) > 0 {
		t.Errorf("left in the etcd: %v", left)
	}
}

func (e *ownEtcd) holdsFederation(t *testing.T) {
	t.Helper()
	for _, cluster := range []string{"us-east", "us-west", "eu-west"} {
		if got := e.keys(t, "/causeway/v1/demo/members/"+cluster); len(got) != 1 {
			t.Errorf("of %s the user's etcd holds %v", cluster, got)
		}
	}
	// Ten seconds have passed since the demo took its place there.
	if got := e.keys(t, "/causeway/v1/demo/trial-held"); len(got) != 1 {
		t.Errorf("the demo does not renew its lease: %v", got)
	}
	// The first request may be quicker than the policy.
	eventually(t, 10*time.Second, func() string {
		if got := e.keys(t, "/causeway/v1/demo/policies/eu-west/shop/"); len(got) != 1 {
			return "of the policy the user's etcd holds " + strings.Join(got, " ")
		}
		return ""
	})
}
