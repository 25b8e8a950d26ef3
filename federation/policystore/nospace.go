package policystore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// askAlarms learns, with each proof, whether the store still takes writes: a quiet
// cluster writes nothing that could fail. The question is one that any user may ask and
// that the asked member answers by itself, over the connection that stands; the list of
// alarms would be a write to the store's log each time. A store that does not answer it
// is told by failing writes alone.
func (s *Store) askAlarms(ctx context.Context, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	status, err := pb.NewMaintenanceClient(client.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return
	}
	full := false
	for _, e := range status.Errors { // alarms, in the only form that a Status has
		full = full || strings.Contains(e, pb.AlarmType_NOSPACE.String())
	}
	s.setNoSpace(full)
}

// noteSpace learns the same from how a write ended. A success tells nothing: it may have
// found nothing to write.
func (s *Store) noteSpace(err error) {
	if errors.Is(err, ErrNoSpace) {
		s.setNoSpace(true)
	}
}

func (s *Store) setNoSpace(full bool) {
	s.mu.Lock()
	was := s.noSpace
	s.noSpace = full
	s.mu.Unlock()
	switch {
	case full && !was:
		s.metrics.noSpace.Set(1)
		s.log.Warn("the policy store takes no writes: its quota is used up")
	case was && !full:
		s.metrics.noSpace.Set(0)
		s.log.Info("the policy store takes writes again")
	}
}

func (s *Store) noSpaceMessage() string {
	return fmt.Sprintf("The policy store at %s has used up its quota and takes no writes; reading and routing go on, changes wait. Compact it (etcdctl compact <revision>), defragment each member (etcdctl defrag), raise its quota (--quota-backend-bytes) if that frees too little, and then disarm the alarm (etcdctl alarm disarm).", strings.Join(s.cfg.Endpoints, ", "))
}
