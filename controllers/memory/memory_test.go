package memory

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

var kube client.Client

func TestMain(m *testing.M) { os.Exit(controllertest.Run(m, &kube)) }

func newMemory(t *testing.T) *Memory {
	t.Helper()
	return New(kube, controllertest.Namespace(t, kube, "memory"))
}

func wantKept(t *testing.T, m *Memory, data []byte, proven time.Time) {
	t.Helper()
	got, at, err := m.Recall(t.Context())
	if err != nil || !bytes.Equal(got, data) || !at.Equal(proven) {
		t.Errorf("%d bytes of %s, %v; want %d of %s", len(got), at, err, len(data), proven)
	}
}

func TestWhatWasKeptLastIsRecalled(t *testing.T) {
	m := newMemory(t)
	if data, _, err := m.Recall(t.Context()); data != nil || err != nil {
		t.Fatalf("before anything was kept: %d bytes, %v", len(data), err)
	}
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	large := bytes.Repeat([]byte("0123456789abcdef"), (2*pieceBytes+100)/16)
	for i, data := range [][]byte{[]byte("one"), large, []byte("two"), {}} {
		at = at.Add(time.Minute)
		if err := m.Keep(t.Context(), data, at); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if len(data) > 0 {
			wantKept(t, m, data, at)
		}
	}
	if err := m.Keep(t.Context(), []byte("three"), at); err != nil {
		t.Fatal(err)
	}
	if err := m.Keep(t.Context(), nil, at.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantKept(t, m, []byte("three"), at.Add(time.Hour))
}

// A leader that dies between its pieces and its head, as well as somebody's edit.
func TestPiecesThatDoNotFitAreNotRead(t *testing.T) {
	m := newMemory(t)
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	if err := m.Keep(t.Context(), []byte("whole"), at); err != nil {
		t.Fatal(err)
	}
	if _, err := m.pieces(t.Context(), "b", []byte("the next, whose head is never written")); err != nil {
		t.Fatal(err)
	}
	wantKept(t, m, []byte("whole"), at)
	if err := m.put(t.Context(), pieceName("a", 0), func(c *corev1.ConfigMap) { c.BinaryData = map[string][]byte{keyData: []byte("edited")} }); err != nil {
		t.Fatal(err)
	}
	if data, _, err := m.Recall(t.Context()); !errors.Is(err, policystore.ErrMemoryBroken) {
		t.Errorf("an edited piece: %q, %v", data, err)
	}
}
