package identity_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "mesh.example.org"

func id(cluster federation.ClusterName, role identity.Role) identity.ID {
	return identity.ID{TrustDomain: domain, Federation: "prod", Cluster: cluster, Role: role}
}

func TestIDRoundTrip(t *testing.T) {
	want := id("us-east", identity.RoleGateway)
	got, err := identity.ParseID(want.String())
	if err != nil || got != want {
		t.Fatalf("ParseID(%s) = %v, %v", want, got, err)
	}
}

func TestParseIDRejectsWhatIsNotOurs(t *testing.T) {
	for _, uri := range []string{
		"", "https://mesh.example.org/federation/prod/cluster/us-east/gateway",
		"spiffe://mesh.example.org/ns/default/sa/x",
		"spiffe://mesh.example.org/federation/prod/cluster/us-east",
		"spiffe://mesh.example.org/federation/prod/cluster/us-east/gateway/more",
		"spiffe://mesh.example.org/federation/prod/cluster/us-east/admin",
		"spiffe://mesh.example.org/federation//cluster/us-east/gateway",
		"spiffe://mesh.example.org/federation/prod/cluster/../gateway",
	} {
		if got, err := identity.ParseID(uri); err == nil {
			t.Errorf("ParseID(%q) = %v, want an error", uri, got)
		}
	}
}

// handshake connects client to server and returns what each side saw. The server
// writes one byte, so that the client learns of a refusal that comes after its
// own part of the handshake (TLS 1.3).
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = conn.Close() }()
		tc := tls.Server(conn, server)
		if err = tc.Handshake(); err == nil {
			_, err = tc.Write([]byte{1})
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
		_ = conn.Close()
	}
	return <-done, err
}

func TestHandshakeBetweenMembers(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	a, b := id("us-east", identity.RoleGateway), id("eu-west", identity.RoleGateway)
	serverErr, clientErr := handshake(t,
		ca.Source(a).ServerConfig(identity.Exactly(b), "x"), ca.Source(b).ClientConfig(identity.Exactly(a), "any.name", "x"))
	if serverErr != nil || clientErr != nil {
		t.Fatal(serverErr, clientErr)
	}
}

func TestForeignAuthorityWithOurNamesIsRefused(t *testing.T) {
	ours, foreign := identitytest.NewCA(t, domain), identitytest.NewCA(t, domain)
	a, b := id("us-east", identity.RoleGateway), id("eu-west", identity.RoleGateway)
	liar := foreign.Source(b)
	if err := liar.SetBundle(domain, ours.Bundle()); err != nil { // it trusts us; we don't trust it
		t.Fatal(err)
	}
	serverErr, _ := handshake(t, ours.Source(a).ServerConfig(identity.Exactly(b)), liar.ClientConfig(identity.Exactly(a), ""))
	if !errors.Is(serverErr, identity.ErrUntrusted) {
		t.Fatalf("server said %v, want ErrUntrusted", serverErr)
	}
	_, clientErr := handshake(t, liar.ServerConfig(identity.Exactly(b)), ours.Source(b).ClientConfig(identity.Exactly(b), ""))
	if !errors.Is(clientErr, identity.ErrUntrusted) {
		t.Fatalf("client said %v, want ErrUntrusted", clientErr)
	}
}

// A trust domain's authority must not speak for another domain even when both
// are trusted: bundles are never merged.
func TestAuthorityOfAnotherTrustedDomainCannotForgeOurs(t *testing.T) {
	ours, partner := identitytest.NewCA(t, domain), identitytest.NewCA(t, "partner.example.org")
	a, b := id("us-east", identity.RoleGateway), id("eu-west", identity.RoleGateway)
	server := ours.Source(a)
	if err := server.SetBundle("partner.example.org", partner.Bundle()); err != nil {
		t.Fatal(err)
	}
	forged := identity.NewSource()
	if err := forged.SetKeyPair(partner.Issue(b)); err != nil {
		t.Fatal(err)
	}
	if err := forged.SetBundle(domain, ours.Bundle()); err != nil {
		t.Fatal(err)
	}
	serverErr, _ := handshake(t, server.ServerConfig(identity.Exactly(b)), forged.ClientConfig(identity.Exactly(a), ""))
	if !errors.Is(serverErr, identity.ErrUntrusted) {
		t.Fatalf("server said %v, want ErrUntrusted", serverErr)
	}
}

func TestExpiredCertificateIsRefused(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	a, b := id("us-east", identity.RoleGateway), id("eu-west", identity.RoleGateway)
	server := ca.Source(a)
	ca.Now = time.Now().Add(-2 * time.Hour)
	serverErr, _ := handshake(t, server.ServerConfig(identity.Exactly(b)), ca.Source(b).ClientConfig(identity.Exactly(a), ""))
	if !errors.Is(serverErr, identity.ErrUntrusted) {
		t.Fatalf("server said %v, want ErrUntrusted", serverErr)
	}
}

func TestMembersRefusesWrongFederationRoleAndStranger(t *testing.T) {
	auth := identity.Members("prod", identity.RoleGateway, func(c federation.ClusterName, td federation.TrustDomain) bool {
		return c == "us-east" && td == domain
	})
	if err := auth(id("us-east", identity.RoleGateway)); err != nil {
		t.Fatal(err)
	}
	other := id("us-east", identity.RoleGateway)
	other.Federation = "staging"
	for name, bad := range map[string]identity.ID{
		"federation": other, "role": id("us-east", identity.RoleOperator), "stranger": id("ap-south", identity.RoleGateway),
	} {
		if err := auth(bad); !errors.Is(err, identity.ErrForbidden) {
			t.Errorf("%s: %v, want ErrForbidden", name, err)
		}
	}
}

func TestNoClientCertificateIsRefused(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	a := id("us-east", identity.RoleGateway)
	allow := func(identity.ID) error { return nil }
	serverErr, _ := handshake(t, ca.Source(a).ServerConfig(allow), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // a client without identity
	if serverErr == nil {
		t.Fatal("a client without a certificate was let in")
	}
}

func TestBadKeyPairKeepsTheOldOne(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	s := ca.Source(id("us-east", identity.RoleGateway))
	cert, _ := ca.Issue(id("us-east", identity.RoleGateway))
	_, otherKey := ca.Issue(id("us-east", identity.RoleGateway))
	if err := s.SetKeyPair(cert, otherKey); err == nil {
		t.Error("a key that does not fit was taken")
	}
	if err := s.SetKeyPair(ca.IssueURI("spiffe://mesh.example.org/ns/x/sa/y")); err == nil {
		t.Error("a foreign SPIFFE ID was taken")
	}
	if err := s.SetBundle(domain, []byte("nonsense")); err == nil {
		t.Error("a bundle without certificates was taken")
	}
	if own, _, ok := s.Own(); !ok || own != id("us-east", identity.RoleGateway) || !s.Ready() {
		t.Fatalf("own identity is now %v, ready %t", own, s.Ready())
	}
}

func TestUnexpectedIdentityKeepsTheOldOne(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	a := id("us-east", identity.RoleGateway)
	s := ca.Source(a)
	s.Expect(identity.Exactly(a))
	if err := s.SetKeyPair(ca.Issue(id("us-west", identity.RoleGateway))); !errors.Is(err, identity.ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if own, _, _ := s.Own(); own != a {
		t.Errorf("we have become %s", own)
	}
	if err := s.SetKeyPair(ca.Issue(a)); err != nil {
		t.Errorf("a rotation of our own: %v", err)
	}
}

func TestSetBundlesKeepsOurOwnAndDropsOthers(t *testing.T) {
	ca, partner := identitytest.NewCA(t, domain), identitytest.NewCA(t, "partner.example.org")
	a := id("us-east", identity.RoleGateway)
	s := ca.Source(a)
	for _, set := range []map[federation.TrustDomain][]byte{{"partner.example.org": partner.Bundle()}, {}} {
		if err := s.SetBundles(set); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Ready() {
		t.Fatal("our own bundle was dropped")
	}
	p := identity.ID{TrustDomain: "partner.example.org", Federation: "prod", Cluster: "eu-west", Role: identity.RoleGateway}
	peer := partner.Source(p)
	if err := peer.SetBundle(domain, ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	serverErr, _ := handshake(t, s.ServerConfig(identity.Exactly(p)), peer.ClientConfig(identity.Exactly(a), ""))
	if !errors.Is(serverErr, identity.ErrUntrusted) {
		t.Fatalf("a dropped bundle is still trusted: %v", serverErr)
	}
}

// A rotation must reach configurations that were handed out before it.
func TestDirIsFollowedOnANodeWithoutNotificationsLeft(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	synctest.Test(t, func(t *testing.T) {
		dir, source := t.TempDir(), identity.NewSource()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- identity.NewDir(dir, source, slog.New(slog.DiscardHandler)).Deaf().Run(ctx) }()
		synctest.Wait()
		cert, key := ca.Issue(id("us-east", identity.RoleGateway))
		for name, data := range map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": ca.Bundle()} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(1500 * time.Millisecond) // virtual: it looks every second
		synctest.Wait()
		if !source.Ready() {
			t.Error("the identity was not read")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestDirReloadsWithoutNewConfigs(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	a, b := id("us-east", identity.RoleGateway), id("eu-west", identity.RoleGateway)
	dir, source := t.TempDir(), identity.NewSource()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- identity.NewDir(dir, source, slog.New(slog.DiscardHandler)).Run(ctx) }()
	server := source.ServerConfig(identity.Exactly(b))
	client := ca.Source(b).ClientConfig(identity.Exactly(a), "")

	if serverErr, _ := handshake(t, server, client); !errors.Is(serverErr, identity.ErrNoIdentity) {
		t.Fatalf("before any file: %v", serverErr)
	}
	write := func() {
		cert, key := ca.Issue(a)
		for name, data := range map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": ca.Bundle()} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // the second round is a rotation
		before := source.Changed()
		_, expires, _ := source.Own()
		ca.LeafLifetime += time.Hour
		write()
		for {
			<-before
			before = source.Changed()
			if _, now, ok := source.Own(); ok && !now.Equal(expires) && source.Ready() {
				break
			}
		}
		if serverErr, clientErr := handshake(t, server, client); serverErr != nil || clientErr != nil {
			t.Fatal(serverErr, clientErr)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
