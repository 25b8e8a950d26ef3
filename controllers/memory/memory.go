// Package memory keeps what the policy store said in the cluster's own API server, so
// that an operator that starts while the store is away knows the federation.
//
// It owns the ConfigMaps "causeway-known" and "causeway-known-<slot>-<n>" in the
// operator's namespace. What is in them is federation/policystore's; its values are
// signed by their authors, so whoever can write here can at most take away or bring back.
//
// The leader's store client calls Recall once and then Keep, one call at a time.
//
// Invariants:
//  1. What was kept last stays whole until what follows is whole: pieces are written to
//     the slot that the head does not name, then the head.
//  2. Pieces that do not add up to what the head says are not read.
package memory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

const (
	// name is the head's.
	name = "causeway-known"
	// pieceBytes is what one ConfigMap holds; the API takes 1 MiB.
	pieceBytes = 700 << 10
	// maxPieces bounds a slot: some 100,000 exports.
	maxPieces = 32

	keySlot, keyPieces, keySum, keyProven, keyData = "slot", "pieces", "sha256", "proven", "data"
)

// Memory is one cluster's.
type Memory struct {
	client    client.Client
	namespace string
}

// New keeps in a namespace; c must read without a cache.
func New(c client.Client, namespace string) *Memory {
	return &Memory{client: c, namespace: namespace}
}

// +kubebuilder:rbac:groups="",namespace=causeway-system,resources=configmaps,verbs=get;create;update;patch

// Recall is what was kept last, and when it was last proven to be current. Nil is nothing.
// policystore.ErrMemoryBroken is for pieces that do not fit.
func (m *Memory) Recall(ctx context.Context) ([]byte, time.Time, error) {
	head, err := m.get(ctx, name)
	if err != nil || head == nil {
		return nil, time.Time{}, err
	}
	proven, err := time.Parse(time.RFC3339, head.Data[keyProven])
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: ConfigMap %s: %w", policystore.ErrMemoryBroken, name, err)
	}
	pieces, err := strconv.Atoi(head.Data[keyPieces])
	if err != nil || pieces < 0 || pieces > maxPieces {
		return nil, time.Time{}, fmt.Errorf("%w: ConfigMap %s speaks of %q pieces", policystore.ErrMemoryBroken, name, head.Data[keyPieces])
	}
	var data []byte
	for n := range pieces {
		piece, err := m.get(ctx, pieceName(head.Data[keySlot], n))
		if err != nil {
			return nil, time.Time{}, err
		}
		if piece != nil {
			data = append(data, piece.BinaryData[keyData]...)
		}
	}
	if sum(data) != head.Data[keySum] {
		return nil, time.Time{}, fmt.Errorf("%w: ConfigMap %s and its %d pieces do not fit", policystore.ErrMemoryBroken, name, pieces)
	}
	return data, proven, nil
}

// Keep replaces what was kept; nil data is that nothing but the proof is newer.
func (m *Memory) Keep(ctx context.Context, data []byte, proven time.Time) error {
	head, err := m.get(ctx, name)
	if err != nil {
		return err
	}
	said := map[string]string{}
	if head != nil && head.Data != nil {
		said = head.Data
	}
	said[keyProven] = proven.UTC().Format(time.RFC3339)
	if data != nil {
		slot := map[string]string{"a": "b"}[said[keySlot]]
		if slot == "" {
			slot = "a"
		}
		pieces, err := m.pieces(ctx, slot, data)
		if err != nil {
			return err
		}
		said[keySlot], said[keyPieces], said[keySum] = slot, strconv.Itoa(pieces), sum(data)
	}
	return m.put(ctx, name, func(c *corev1.ConfigMap) { c.Data = said })
}

func (m *Memory) pieces(ctx context.Context, slot string, data []byte) (int, error) {
	n := (len(data) + pieceBytes - 1) / pieceBytes
	if n > maxPieces {
		return 0, fmt.Errorf("%d bytes are more than %d pieces of %d hold", len(data), maxPieces, pieceBytes)
	}
	for i := range n {
		piece := data[i*pieceBytes : min(len(data), (i+1)*pieceBytes)]
		if err := m.put(ctx, pieceName(slot, i), func(c *corev1.ConfigMap) { c.BinaryData = map[string][]byte{keyData: piece} }); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func pieceName(slot string, n int) string { return fmt.Sprintf("%s-%s-%d", name, slot, n) }

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// get returns nil if there is none.
func (m *Memory) get(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	var c corev1.ConfigMap
	err := m.client.Get(ctx, client.ObjectKey{Namespace: m.namespace, Name: name}, &c)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return &c, err
}

func (m *Memory) put(ctx context.Context, name string, fill func(*corev1.ConfigMap)) error {
	have, err := m.get(ctx, name)
	if err != nil {
		return err
	}
	if have != nil {
		fill(have)
		return m.client.Update(ctx, have)
	}
	fresh := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: name, Labels: map[string]string{api.LabelManagedBy: api.ManagedBy}}}
	fill(fresh)
	return m.client.Create(ctx, fresh)
}
