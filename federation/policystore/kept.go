package policystore

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Memory keeps what a client knows beyond its process, so that the next one of the same
// cluster routes while the store is away, and recognises it when it is back. The
// operator gives one that lies in its own API server.
type Memory interface {
	// Recall is what was kept last, and when the store last proved it to be current, by
	// this cluster's wall clock. Nil is nothing.
	Recall(ctx context.Context) (data []byte, proven time.Time, err error)
	// Keep replaces it. Nil data is that nothing but the proof is newer.
	Keep(ctx context.Context, data []byte, proven time.Time) error
}

const (
	// keepEvery is the pause between two looks at whether there is something to keep.
	keepEvery = 5 * time.Second
	// proofEvery is how exact the age of what was kept is; it never looks younger.
	proofEvery = 30 * time.Second
	// maxKept bounds what is read back, unpacked.
	maxKept = 256 << 20
)

// keptValue is what a Memory holds, gzipped. The values are as the store has them: their
// seals are verified again.
type keptValue struct {
	header
	Federation string     `json:"federation"`
	Known      Known      `json:"known"`
	Revision   uint64     `json:"revision"`
	Content    uint64     `json:"contentRevision"`
	Items      []keptItem `json:"items"`
}

type keptItem struct {
	Key      string `json:"key"`
	Value    []byte `json:"value"`
	Revision uint64 `json:"revision"`
}

// keep pictures the replica; only Run's goroutine calls it.
func (s *Store) keep() keptValue {
	v := keptValue{
		header: header{schemaVersion}, Federation: s.cfg.Federation, Known: s.memory().known(),
		Revision: s.reached, Content: s.contentAt,
	}
	for _, key := range slices.Sorted(maps.Keys(s.replica.raw)) {
		i := s.replica.raw[key]
		v.Items = append(v.Items, keptItem{i.key, i.value, i.revision})
	}
	return v
}

func (v keptValue) pack() ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if err := errors.Join(json.NewEncoder(z).Encode(v), z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(data []byte) (keptValue, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return keptValue{}, err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxKept+1))
	switch {
	case err != nil:
		return keptValue{}, err
	case len(text) > maxKept:
		return keptValue{}, fmt.Errorf("more than %d bytes", maxKept)
	}
	var v keptValue
	if err := json.Unmarshal(text, &v); err != nil {
		return keptValue{}, err
	}
	if v.SchemaVersion < 1 || v.SchemaVersion > schemaVersion {
		return keptValue{}, fmt.Errorf("schemaVersion %d, this program reads up to %d", v.SchemaVersion, schemaVersion)
	}
	return v, nil
}

// ErrMemoryBroken: what a Memory holds is not whole. It may be replaced.
var ErrMemoryBroken = errors.New("what was kept is not whole")

// recallTries is how often a memory that does not answer is asked.
const recallTries = 3

// recall asks the memory; broken content is told and taken for none.
func (s *Store) recall(ctx context.Context) (v keptValue, proven time.Time, err error) {
	var data []byte
	for try := range recallTries {
		if try > 0 {
			s.pause(ctx)
		}
		asked, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
		data, proven, err = s.deps.Memory.Recall(asked)
		cancel()
		if err == nil || errors.Is(err, ErrMemoryBroken) {
			break
		}
	}
	if err == nil && data != nil {
		if v, err = unpack(data); err != nil {
			err = fmt.Errorf("%w: %w", ErrMemoryBroken, err)
		}
	}
	return v, proven, err
}

// recollect begins with what an earlier process kept. Without that the store is read
// anyway. It says whether the memory may be written: not over what could not be read.
func (s *Store) recollect(ctx context.Context) (writable bool) {
	v, proven, err := s.recall(ctx)
	switch {
	case err != nil:
		s.log.Warn("what was kept of the policy store cannot be read; the store itself is waited for, and one that went back meanwhile is not recognised", "error", err)
		return errors.Is(err, ErrMemoryBroken)
	case v.Federation != s.cfg.Federation:
		return true
	}
	known, err := recall(v.Known)
	if err != nil {
		s.log.Warn("what was known of the policy store cannot be read", "error", err)
		return true
	}
	listed, items := map[string]bool{}, []item{}
	for _, i := range v.Items {
		listed[i.Key] = true
		items = append(items, item{i.Key, i.Value, i.Revision})
	}
	trust := s.lookAgain()
	s.takeAll(listed, items)
	s.trust = trust
	st := s.replica.state(v.Revision)
	st.ContentRevision, st.Kept = v.Content, true
	s.mu.Lock()
	if s.known.none() && !known.none() {
		s.known, s.barred = known, errNotCompared
	}
	s.state, s.keptProof = st, proven
	s.mu.Unlock()
	s.log.Info("going on with what was kept of the policy store until it answers", "revision", v.Revision, "values", len(items), "proven", proven)
	if s.deps.OnChange != nil {
		s.deps.OnChange(st)
	}
	return true
}

// remember keeps what is new, until ctx ends.
func (s *Store) remember(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	var (
		kept   edition
		proven time.Time
	)
	for {
		st := s.Status()
		switch proof := s.lastProof(); {
		case st.Synced && s.edition() != kept:
			if edition, err := s.keepNow(ctx, proof); err == nil {
				kept, proven = edition, proof
			} else if ctx.Err() == nil {
				s.log.Warn("what is known of the policy store could not be kept, trying again", "error", err)
			}
		case st.Synced && proof.Sub(proven) >= proofEvery:
			if err := s.deps.Memory.Keep(ctx, nil, proof); err == nil {
				proven = proof
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// edition tells apart what is worth keeping anew: presence is not.
type edition struct {
	store, content uint64
	lineage        string
}

func (s *Store) edition() edition {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.known.known()
	return edition{k.StoreID, s.state.ContentRevision, k.Lineage}
}

// keepNow asks Run's goroutine for a picture, and keeps it.
func (s *Store) keepNow(ctx context.Context, proof time.Time) (edition, error) {
	answer := make(chan keptValue, 1)
	select {
	case s.pictures <- answer:
	case <-ctx.Done():
		return edition{}, ctx.Err()
	case <-time.After(s.cfg.RequestTimeout):
		return edition{}, errNotRunning // it is between two sessions
	}
	v := <-answer
	data, err := v.pack()
	if err != nil {
		return edition{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	return edition{v.Known.StoreID, v.Content, v.Known.Lineage}, s.deps.Memory.Keep(ctx, data, proof)
}

func (s *Store) lastProof() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proof
}
