package policystore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

func TestOwnerWritesOverWhatOthersPutUnderItsKeysAndTakesNothingFromIt(t *testing.T) {
	s := startStore(t)
	raw := s.raw(t)
	for key, value := range map[string]string{
		"members/a":        `{"schemaVersion":1,"instanceID":"uid-forged","trustDomain":"d"}`,
		"exports/a/shop/x": `{"schemaVersion":1,"order":99,"evil":true,"ports":[]}`,
	} {
		if _, err := raw.Put(t.Context(), place+key, value); err != nil {
			t.Fatal(err)
		}
	}
	a, b := s.client(t, "a"), s.client(t, "b")
	if n := len(b.State().Members) + len(b.State().Exports); n != 0 {
		t.Errorf("%d unsigned values are believed", n)
	}
	a.register(t, "a")
	x, err := a.PutExport(t.Context(), export("a", "x"))
	if err != nil || x.Order != 1 {
		t.Errorf("order %d, %v: want a place of its own", x.Order, err)
	}
	await(t, "the owner's values", func() bool { return len(b.State().Members) == 1 && len(b.State().Exports) == 1 })
	got, err := raw.Get(t.Context(), place+"exports/a/shop/x")
	if err != nil || strings.Contains(string(got.Kvs[0].Value), "evil") {
		t.Errorf("a forged field is under the owner's seal: %s %v", got.Kvs[0].Value, err)
	}
}

func TestUnsignedValuesAreSignedWhenTheyArePublishedAgain(t *testing.T) {
	s := startStore(t)
	old := s.clientOf(t, "a", identity.NewSource(), func(c *policystore.Config, _ *policystore.Deps) { c.Unsealed = true })
	old.register(t, "a")
	first, err := old.PutExport(t.Context(), export("a", "x"))
	if err != nil {
		t.Fatal(err)
	}
	lenient := func(c *policystore.Config, _ *policystore.Deps) { c.AcceptUnsigned = true }
	a, strict := s.clientOf(t, "a", s.ca.Source(operator("a")), lenient), s.client(t, "b")
	if len(a.State().Exports) != 1 || len(strict.State().Exports) != 0 {
		t.Fatalf("the lenient one has %d exports, the strict one %d", len(a.State().Exports), len(strict.State().Exports))
	}
	a.register(t, "a")
	again, err := a.PutExport(t.Context(), export("a", "x"))
	if err != nil || again.Order != first.Order {
		t.Errorf("order %d became %d, %v", first.Order, again.Order, err)
	}
	await(t, "the strict one to believe", func() bool { return len(strict.State().Members) == 1 && len(strict.State().Exports) == 1 })
}

func TestWritesWaitForACertificateAndTrustThatComesLaterIsHeeded(t *testing.T) {
	s := startStore(t)
	source := identity.NewSource()
	late := s.clientOf(t, "b", source, nil)
	if err := late.Register(t.Context(), member("b", "uid-b")); !errors.Is(err, policystore.ErrNoSigner) {
		t.Errorf("without a certificate: %v", err)
	}
	s.client(t, "a").register(t, "a")
	if err := source.SetKeyPair(s.ca.Issue(operator("b"))); err != nil {
		t.Fatal(err)
	}
	if err := source.SetBundle("d", s.ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	await(t, "a, refused before", func() bool { return len(late.State().Members) == 1 })
	late.register(t, "b")
	if err := source.SetBundle("d", identitytest.NewCA(t, "d").Bundle()); err != nil {
		t.Fatal(err)
	}
	await(t, "those of the removed authority to go", func() bool { return len(late.State().Members) == 0 })
}
