package policystore

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

var (
	k       = newKeys("prod")
	service = federation.ServiceName{Namespace: "shop", Name: "x"}
)

func operator(c federation.ClusterName) identity.ID {
	return identity.ID{TrustDomain: "d", Federation: "prod", Cluster: c, Role: identity.RoleOperator}
}

// certificate is one that ca issues; id may be any.
func certificate(t testing.TB, ca *identitytest.CA, id identity.ID) *tls.Certificate {
	t.Helper()
	cert, err := tls.X509KeyPair(ca.Issue(id))
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

// exportBy is an export of cluster a, as cert would publish it.
func exportBy(t testing.TB, cert *tls.Certificate) item {
	t.Helper()
	return signed(t, cert, k.export("a", service), exportToValue(federation.Export{Order: 1}))
}

func signed(t testing.TB, cert *tls.Certificate, key string, v any) item {
	t.Helper()
	content, err := encodeValue(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	value, err := sealed(cert, key, content)
	if err != nil {
		t.Fatal(err)
	}
	return item{key: key, value: value, revision: 1}
}

// reader trusts the authorities that a source does.
func reader(t testing.TB, source *identity.Source, change func(*Config)) *Store {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = "prod", "b", []string{"http://127.0.0.1:1"}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, Deps{Certificate: source.Certificate, VerifyChain: source.VerifyRested})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Store) verdict(i item) error { return s.replica.put(s.replica.open(i)) }

// fields edits a value's JSON.
func fields(t *testing.T, i item, edit func(map[string]json.RawMessage)) item {
	t.Helper()
	f := map[string]json.RawMessage{}
	if err := json.Unmarshal(i.value, &f); err != nil {
		t.Fatal(err)
	}
	edit(f)
	i.value, _ = json.Marshal(f)
	return i
}

func TestOnlyTheKeysOwnClusterIsBelieved(t *testing.T) {
	ca, foreign := identitytest.NewCA(t, "d"), identitytest.NewCA(t, "d")
	partner := identitytest.NewCA(t, "partner")
	source := ca.Source(operator("b"))
	if err := source.SetBundle("partner", partner.Bundle()); err != nil {
		t.Fatal(err)
	}
	own := certificate(t, ca, operator("a"))
	gateway, elsewhere, namesake := operator("a"), operator("a"), operator("a")
	gateway.Role, elsewhere.Federation, namesake.TrustDomain = identity.RoleGateway, "test", "partner"
	good := exportBy(t, own)
	moved := good
	moved.key = k.export("a", federation.ServiceName{Namespace: "shop", Name: "y"})
	long := *own
	for len(long.Certificate) <= identity.MaxChainCerts {
		long.Certificate = append(long.Certificate, long.Certificate[1])
	}
	big := *own
	big.Certificate = [][]byte{own.Certificate[0], make([]byte, identity.MaxChainBytes)}
	rollout := rolloutToValue(federation.Rollout{Phase: federation.RolloutPaused, Coordinator: "a"})
	rolloutKey := k.rollout(federation.PolicyID{Origin: "c", Namespace: "shop", Name: "p"})
	for name, c := range map[string]struct {
		item item
		want error
	}{
		"its own":                     {good, nil},
		"a policy's of its own":       {signed(t, own, k.policy(federation.PolicyID{Origin: "a", Namespace: "shop", Name: "p"}), policyToValue(federation.Policy{Order: 1})), nil},
		"another cluster":             {exportBy(t, certificate(t, ca, operator("c"))), errAuthor},
		"its gateway":                 {exportBy(t, certificate(t, ca, gateway)), errAuthor},
		"it in another federation":    {exportBy(t, certificate(t, ca, elsewhere)), errAuthor},
		"a namesake of a partner's":   {exportBy(t, certificate(t, partner, namesake)), errAuthor},
		"a foreign CA":                {exportBy(t, certificate(t, foreign, operator("a"))), errChain},
		"a partner under our domain":  {exportBy(t, certificate(t, partner, operator("a"))), errChain},
		"moved to another key":        {moved, errSeal},
		"no seal":                     {fields(t, good, func(f map[string]json.RawMessage) { delete(f, sealField) }), errUnsigned},
		"a seal that is null":         {fields(t, good, func(f map[string]json.RawMessage) { f[sealField] = json.RawMessage("null") }), errSeal},
		"a seal that is none":         {fields(t, good, func(f map[string]json.RawMessage) { f[sealField] = json.RawMessage("7") }), errSeal},
		"an old seal on new content":  {fields(t, good, func(f map[string]json.RawMessage) { f["earlyData"] = json.RawMessage("true") }), errSeal},
		"a field added":               {fields(t, good, func(f map[string]json.RawMessage) { f["later"] = json.RawMessage("1") }), errSeal},
		"too many certificates":       {exportBy(t, &long), errSeal},
		"a chain of too many bytes":   {exportBy(t, &big), errSeal},
		"the coordinator":             {signed(t, own, rolloutKey, rollout), nil},
		"not the coordinator it says": {signed(t, certificate(t, ca, operator("c")), rolloutKey, rollout), errAuthor},
	} {
		s := reader(t, source, nil)
		if err := s.verdict(signed(t, own, k.member("a"), memberToValue(federation.Member{TrustDomain: "d", InstanceID: "uid"}))); err != nil {
			t.Fatal(err)
		}
		if err := s.verdict(c.item); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestRegistrationIsSignedInTheDomainItNames(t *testing.T) {
	partner := identitytest.NewCA(t, "partner")
	ca := identitytest.NewCA(t, "d")
	source := ca.Source(operator("b"))
	if err := source.SetBundle("partner", partner.Bundle()); err != nil {
		t.Fatal(err)
	}
	namesake := operator("a")
	namesake.TrustDomain = "partner"
	theirs := certificate(t, partner, namesake)
	as := func(domain federation.TrustDomain) item {
		return signed(t, theirs, k.member("a"), memberToValue(federation.Member{TrustDomain: domain, InstanceID: "uid"}))
	}
	s := reader(t, source, nil)
	if err := s.verdict(as("d")); !errors.Is(err, errAuthor) {
		t.Errorf("a partner registers a cluster of our domain: %v", err)
	}
	if err := s.verdict(as("partner")); err != nil {
		t.Errorf("a cluster of the partner's registers: %v", err)
	}
	s.notary.domain = func(federation.ClusterName) (federation.TrustDomain, bool) { return "d", true }
	if err := s.verdict(as("partner")); !errors.Is(err, errAuthor) {
		t.Errorf("the settings know the domain: %v", err)
	}
	// Before a cluster is registered its domain is not known; then it is.
	s = reader(t, source, nil)
	early := exportBy(t, theirs)
	if err := s.verdict(early); err != nil {
		t.Fatal(err)
	}
	if err := s.verdict(signed(t, certificate(t, ca, operator("a")), k.member("a"), memberToValue(federation.Member{TrustDomain: "d", InstanceID: "uid"}))); err != nil {
		t.Fatal(err)
	}
	if n := len(s.replica.state(1).Exports); n != 0 {
		t.Errorf("%d exports of a namesake outlive the registration", n)
	}
}

func TestNoFlippedByteIsBelieved(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	s, good := reader(t, ca.Source(operator("b")), nil), exportBy(t, certificate(t, ca, operator("a")))
	_, seal, err := unsealed(good.value)
	if err != nil {
		t.Fatal(err)
	}
	for at := range good.value {
		bad := good
		bad.value = append([]byte(nil), good.value...)
		bad.value[at] ^= 1
		if s.verdict(bad) == nil {
			// The last character of base64 has bits that mean nothing.
			if _, same, err := unsealed(bad.value); err != nil || !cmp.Equal(seal, same) {
				t.Errorf("byte %d: %s", at, bad.value)
			}
		}
	}
}

// Go merges what an object's field holds when it stands there twice.
func TestWhatIsDecodedIsWhatWasSigned(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	key := k.policy(federation.PolicyID{Origin: "a", Namespace: "shop", Name: "p"})
	good := signed(t, certificate(t, ca, operator("a")), key, map[string]any{
		"schemaVersion": 1, "order": 1, "rollout": map[string]string{"bake": "1s"},
	})
	good.value = []byte(`{"rollout":{"maxErrorsPerMille":7},` + string(good.value[1:]))
	s := reader(t, ca.Source(operator("b")), nil)
	if err := s.verdict(good); err != nil {
		t.Fatal(err)
	}
	if got := s.replica.policies.values[key].Rollout; got.MaxErrors.Known || got.Bake != time.Second {
		t.Errorf("smuggled in: %+v", got)
	}
}

func TestExpiredAuthorIsBelievedWhileItsAuthorityIsTrusted(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	source := ca.Source(operator("b"))
	ca.Now, ca.LeafLifetime = time.Now().Add(-30*time.Minute), time.Minute
	old := exportBy(t, certificate(t, ca, operator("a")))
	ca.Now, ca.LeafLifetime = time.Now().Add(-48*time.Hour), time.Hour // before its issuer was
	never := exportBy(t, certificate(t, ca, operator("a")))
	s := reader(t, source, nil)
	if err := s.verdict(never); !errors.Is(err, errChain) {
		t.Errorf("a certificate that ended before its issuer began: %v", err)
	}
	s.takeAll(map[string]bool{old.key: true}, []item{old})
	if n := len(s.replica.state(1).Exports); n != 1 {
		t.Fatal("a value whose author's certificate has run out is refused")
	}
	if err := source.SetBundle("d", identitytest.NewCA(t, "d").Bundle()); err != nil {
		t.Fatal(err)
	}
	s.lookAgain()
	s.takeAll(map[string]bool{old.key: true}, []item{old})
	if n := len(s.replica.state(1).Exports); n != 0 {
		t.Error("a value outlives its removed authority")
	}
}

func TestUnsignedIsAcceptedOnRequestAndAWrongSealNever(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	s := reader(t, ca.Source(operator("b")), func(c *Config) { c.AcceptUnsigned = true })
	good := exportBy(t, certificate(t, ca, operator("a")))
	if err := s.verdict(fields(t, good, func(f map[string]json.RawMessage) { delete(f, sealField) })); err != nil {
		t.Error(err)
	}
	if err := s.verdict(fields(t, good, func(f map[string]json.RawMessage) { f["headless"] = json.RawMessage("true") })); !errors.Is(err, errSeal) {
		t.Errorf("a wrong seal: %v", err)
	}
}

func TestAValueIsVerifiedOnce(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	source := ca.Source(operator("b"))
	s, asked := reader(t, source, nil), 0
	s.notary.verify = func(c []*x509.Certificate) (identity.ID, error) { asked++; return source.VerifyRested(c) }
	cert := certificate(t, ca, operator("a"))
	listed, items := map[string]bool{}, []item{}
	for n := range 20 {
		x := signed(t, cert, k.export("a", federation.ServiceName{Namespace: "shop", Name: fmt.Sprint("x", n)}), exportToValue(federation.Export{Order: 1}))
		listed[x.key], items = true, append(items, x)
	}
	s.take(s.replica.open(items[0]))
	s.takeAll(listed, items)
	if asked != 1 {
		t.Errorf("one chain was verified %d times", asked)
	}
	bad := fields(t, items[0], func(f map[string]json.RawMessage) { f["headless"] = json.RawMessage("true") })
	if err := s.verdict(bad); !errors.Is(err, errSeal) {
		t.Errorf("another value of a key that was verified before: %v", err)
	}
}

func TestStoreThatCannotVerifyIsNotMadeByAccident(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = "prod", "b", []string{"http://127.0.0.1:1"}
	if _, err := New(cfg, Deps{}); err == nil {
		t.Error("a store without VerifyChain")
	}
}

func TestNothingIsWrittenThatNobodyWouldBelieve(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	content, _ := encodeValue(exportToValue(federation.Export{Order: 1}), nil)
	for name, source := range map[string]*identity.Source{
		"no certificate yet": identity.NewSource(),
		"another cluster's":  ca.Source(operator("c")),
	} {
		if _, err := reader(t, source, nil).seal(k.export("b", service), content); !errors.Is(err, ErrNoSigner) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A full read of 10,000 values of 50 clusters, none of them seen before.
func BenchmarkFullRead(b *testing.B) {
	ca := identitytest.NewCA(b, "d")
	source := ca.Source(operator("b"))
	listed, items := map[string]bool{}, []item{}
	for c := range 50 {
		name := federation.ClusterName(fmt.Sprint("c", c))
		cert := certificate(b, ca, operator(name))
		for n := range 200 {
			x := signed(b, cert, k.export(name, federation.ServiceName{Namespace: "shop", Name: fmt.Sprint("x", n)}), exportToValue(federation.Export{Order: 1}))
			listed[x.key], items = true, append(items, x)
		}
	}
	for b.Loop() {
		s := reader(b, source, nil)
		s.takeAll(maps.Clone(listed), items)
		if len(s.replica.exports.values) != len(items) {
			b.Fatal("not all were believed")
		}
	}
}
