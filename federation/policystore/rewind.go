package policystore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Known is what a client remembers of its store, for the next process to start with:
// Status tells it, Config takes it back. The zero value knows nothing, and trusts the
// store that it meets first.
type Known struct {
	// StoreID is the etcd cluster's. One that is restored with a token of its own has
	// another than before.
	StoreID uint64
	// Revision is the highest that was seen; it never falls but by an acceptance.
	Revision uint64
	// Lineage is opaque, at most a few KiB of JSON: one change that the store must still
	// remember, and the acceptances that were seen. Without it a store that went back and
	// grew past Revision again is not told, and an acceptance counts only if it is younger
	// than the moment at which this client found the store gone back.
	Lineage string
}

// maxAcceptances bounds how many acceptances are told apart; the oldest go first.
const maxAcceptances = 16

// memory is Known, taken apart.
type memory struct {
	id, revision uint64
	lineage
}

type lineage struct {
	Witness witness `json:"witness"`
	// Accepted are the nonces of all acceptances in the store's history; nil is not known.
	Accepted []string `json:"accepted"`
}

// witness is a change of a value that people wrote: of presence and elections, no store
// remembers much after a compaction.
type witness struct {
	Key      string `json:"key,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
	Digest   string `json:"digest,omitempty"` // of the value; "" is a deletion
}

func digest(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:16])
}

func recall(k Known) (memory, error) {
	m := memory{id: k.StoreID, revision: k.Revision}
	if k.Lineage == "" {
		return m, nil
	}
	if err := json.Unmarshal([]byte(k.Lineage), &m.lineage); err != nil {
		return m, fmt.Errorf("policystore: the store's known lineage: %w", err)
	}
	return m, nil
}

func (m memory) known() Known {
	k := Known{StoreID: m.id, Revision: m.revision}
	if m.Witness == (witness{}) && m.Accepted == nil {
		return k
	}
	text, err := json.Marshal(m.lineage)
	if err == nil { // strings and numbers always are
		k.Lineage = string(text)
	}
	return k
}

func (m memory) none() bool { return m.id == 0 && m.revision == 0 }

// sight is what one look at the store shows.
type sight struct {
	id, revision uint64
	witness      *mvccpb.KeyValue // the witness's key as it is now; nil is absent
	accepted     *acceptedValue   // nil is absent, or not readable
	acceptedMod  int64
	acceptedRaw  []byte
}

// look is one linearizable read, so a member of the store that lags can't pass for a
// store that went back.
func (s *Store) look(ctx context.Context, client *clientv3.Client, witnessKey string) (sight, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	if witnessKey == "" {
		witnessKey = s.keys.order()
	}
	resp, err := client.Txn(ctx).Then(clientv3.OpGet(witnessKey), clientv3.OpGet(s.keys.accepted())).Commit()
	if err != nil {
		return sight{}, fmt.Errorf("reading the policy store's revision: %w", err)
	}
	got := sight{id: resp.Header.ClusterId, revision: uint64(resp.Header.Revision)} //nolint:gosec // never negative
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		got.witness = kvs[0]
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		got.acceptedMod, got.acceptedRaw = kvs[0].ModRevision, kvs[0].Value
		got.accepted = decodeAccepted(kvs[0].Value)
	}
	return got, nil
}

// refutes says why what is seen can't be the store that is remembered; "" is no reason.
func (m memory) refutes(got sight) string {
	switch w, kv := m.Witness, got.witness; {
	case m.none():
	case m.id != 0 && got.id != m.id:
		return "it is another etcd cluster"
	case got.revision < m.revision:
		return "its revision went back"
	case w.Revision == 0 || kv == nil || uint64(kv.ModRevision) > w.Revision: //nolint:gosec // never negative
	case uint64(kv.ModRevision) < w.Revision || digest(kv.Value) != w.Digest: //nolint:gosec // never negative
		return fmt.Sprintf("it has lost the change of %s at revision %d", w.Key, w.Revision)
	}
	return ""
}

// remembered asks a store whose numbers are right for the change that is remembered: it
// may have gone back and grown past them. A store that has compacted it away, and has
// changed the key since, is believed.
func (s *Store) remembered(ctx context.Context, client *clientv3.Client, w witness) (bool, error) {
	if w.Revision == 0 {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	at := int64(w.Revision) //nolint:gosec // never beyond
	kv, err := s.valueAt(ctx, client, w.Key, at)
	if err == nil && w.Digest == "" && kv == nil {
		if kv, err = s.valueAt(ctx, client, w.Key, at-1); err == nil {
			return kv != nil, nil // what was deleted then was there before
		}
	}
	if errors.Is(err, rpctypes.ErrCompacted) {
		return true, nil
	}
	return err == nil && kv != nil && kv.ModRevision == at && digest(kv.Value) == w.Digest, err
}

func (s *Store) valueAt(ctx context.Context, client *clientv3.Client, key string, at int64) (*mvccpb.KeyValue, error) {
	resp, err := client.Get(ctx, key, clientv3.WithRev(at))
	if err != nil || len(resp.Kvs) == 0 {
		return nil, err
	}
	return resp.Kvs[0], nil
}

// rewoundError is ErrRewound with what a person needs to judge it.
type rewoundError struct {
	known memory
	got   sight
	why   string
}

func (e *rewoundError) Error() string {
	return fmt.Sprintf("%v: %s (known: store %d at revision %d; now: store %d at revision %d)",
		ErrRewound, e.why, e.known.id, e.known.revision, e.got.id, e.got.revision)
}

func (e *rewoundError) Unwrap() error { return ErrRewound }

func (s *Store) rewoundMessage(err error) string {
	said := err.Error()
	var r *rewoundError
	if errors.As(err, &r) {
		said = fmt.Sprintf("%s: known was store %d at revision %d, there is now store %d at revision %d", r.why, r.known.id, r.known.revision, r.got.id, r.got.revision)
	}
	return fmt.Sprintf("The policy store at %s is not the one that was known (%s), as after a restore from a backup: what it holds may be older than what is in force. Nothing is taken from it or written to it, and routing goes on with what is known. Bring the right store back; or check that this is the backup you want, and accept it with: causewayctl store accept",
		strings.Join(s.cfg.Endpoints, ", "), said)
}

// head asks, through the store's quorum, how far the store is. A store that went back is
// ErrRewound.
func (s *Store) head(ctx context.Context, client *clientv3.Client) (uint64, error) {
	m := s.memory() // before the question: what is seen meanwhile may be more than the answer
	got, err := s.look(ctx, client, m.Witness.Key)
	if err != nil {
		return 0, err
	}
	if why := m.refutes(got); why != "" {
		return 0, &rewoundError{m, got, why}
	}
	s.saw(got.revision)
	return got.revision, nil
}

// recognise compares the store with what is remembered. It is told whether a person
// accepted it although it does not fit.
func (s *Store) recognise(ctx context.Context, client *clientv3.Client) (got sight, accepted bool, err error) {
	m := s.memory()
	if got, err = s.look(ctx, client, m.Witness.Key); err != nil {
		return got, false, err
	}
	why := m.refutes(got)
	if why == "" {
		ok, err := s.remembered(ctx, client, m.Witness)
		if err != nil {
			return got, false, fmt.Errorf("reading the policy store's history: %w", err)
		}
		if ok {
			s.found = sight{}
			return got, false, nil
		}
		why = "it went back and has grown past what is known since"
	}
	if s.found.id != got.id || got.revision < s.found.revision {
		s.found = got
	}
	if !m.accepts(got, s.found.revision) {
		return got, false, &rewoundError{m, got, why}
	}
	return got, true, nil
}

// accepts says whether a person has accepted the store that is seen. The key may be part
// of the backup, so it counts only if it can't be: its revision is not below the head at
// which the store was found gone back (a restored one names less than its own revision),
// or it is none of those in the history that is remembered.
func (m memory) accepts(got sight, found uint64) bool {
	a := got.accepted
	if a == nil || a.StoreID != strconv.FormatUint(got.id, 10) {
		return false
	}
	return a.Revision >= found || m.Accepted != nil && !slices.Contains(m.Accepted, a.Nonce)
}

// adopt makes the store that was accepted the one that is remembered, once it was read.
func (s *Store) adopt(got sight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.id, s.known.revision = got.id, s.reached
	s.known.Accepted = got.accepted.history(s.known.Accepted)
	s.found = sight{}
}

func (s *Store) memory() memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// saw notes a revision that the store has shown.
func (s *Store) saw(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.revision = max(s.known.revision, revision)
}

// witnessed notes a change, for the store to be asked about later.
func (s *Store) witnessed(w witness) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Witness = w
}

// noteAccepted remembers the acceptances in the store's history, so that none of them
// counts again once a backup brings it back.
func (s *Store) noteAccepted(value []byte) {
	a := decodeAccepted(value)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Accepted = a.history(s.known.Accepted)
}

// sameStore holds the answer to a write's first read against what is known, by the
// numbers alone: between two proofs the store may have been replaced.
func (s *Store) sameStore(before memory, id uint64, revision int64) error {
	got := sight{id: id, revision: uint64(revision)} //nolint:gosec // never negative
	before.Witness = witness{}
	if why := before.refutes(got); why != "" {
		return &rewoundError{before, got, why}
	}
	return nil
}

// Acceptance is a person's word that a store which went back is the one to follow.
type Acceptance struct {
	StoreID uint64
	// Revision is the store's when it was accepted.
	Revision uint64
}

// acceptedValue lies under <prefix>accepted. Nonce tells acceptances apart, and Earlier
// are those before it in this store's history, the last maxAcceptances.
type acceptedValue struct {
	header
	StoreID  string   `json:"storeID"`
	Revision uint64   `json:"revision"`
	Nonce    string   `json:"nonce"`
	Earlier  []string `json:"earlier"`
}

func (k keys) accepted() string { return k.prefix + "accepted" }

func decodeAccepted(value []byte) *acceptedValue {
	var a acceptedValue
	if err := decodeValue(value, &a); err != nil {
		return nil
	}
	return &a
}

// history is known and all of a's that it lacks; never nil.
func (a *acceptedValue) history(known []string) []string {
	all := append([]string{}, known...)
	if a != nil {
		for _, n := range append(slices.Clone(a.Earlier), a.Nonce) {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all[max(0, len(all)-maxAcceptances):]
}

// Accept writes a person's acceptance of the store as it is now; every client of the
// federation that refuses it as rewound then takes over what it holds, in one step.
// `causewayctl store accept` calls it. It needs write access to <prefix>accepted and has
// Config.RequestTimeout; an error says what to do. Config.Known is not looked at.
func Accept(ctx context.Context, cfg Config) (Acceptance, error) {
	cfg.Known, cfg.Unsealed = Known{}, true // it reads no value that has an author
	s, err := New(cfg, Deps{})
	if err != nil {
		return Acceptance{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	client, err := s.newClient(ctx)
	if err != nil {
		return Acceptance{}, fmt.Errorf("policy store client: %w", err)
	}
	defer func() { _ = client.Close() }()
	a, err := s.accept(ctx, client)
	return a, s.told(err)
}

func (s *Store) accept(ctx context.Context, client *clientv3.Client) (Acceptance, error) {
	got, err := s.look(ctx, client, "")
	if err != nil {
		return Acceptance{}, err
	}
	earlier := got.accepted.history(nil)
	v := acceptedValue{header{schemaVersion}, strconv.FormatUint(got.id, 10), got.revision, strings.ToLower(rand.Text()), earlier}
	value, err := encodeValue(v, got.acceptedRaw)
	if err != nil {
		return Acceptance{}, err
	}
	key := s.keys.accepted()
	resp, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", got.acceptedMod)).Then(clientv3.OpPut(key, string(value))).Commit()
	switch {
	case err != nil:
		return Acceptance{}, err
	case resp.Header.ClusterId != got.id || !resp.Succeeded:
		return Acceptance{}, errors.New("the store has changed meanwhile; look at it again, and accept it then")
	}
	return Acceptance{StoreID: got.id, Revision: got.revision}, nil
}
