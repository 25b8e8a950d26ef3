package gossip

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Count is how many endpoints of a service port there are, and how many of them
// are ready.
type Count struct{ Ready, Total uint32 }

// record is one cluster's word on one service port, as it travels: with its age
// instead of a time.
type record struct {
	Port    federation.ServicePort
	Version federation.Version
	// Renewed is the sequence, in the same epoch, of the owner's last statement that
	// covered this record; at least Version.Sequence.
	Renewed   uint64
	Age       time.Duration
	Count     Count
	Withdrawn bool
}

// beat is an owner's word that all it has said still holds, and a digest of that
// all, so that a reader who missed something does not take it for itself.
type beat struct {
	Version federation.Version
	Digest  uint64
	Age     time.Duration
}

// statement is what travels about one owner.
type statement struct {
	Owner federation.ClusterName
	// Floor is the epoch below which no record of the owner stands any more.
	Floor uint64
	// Complete says that the records are all that the owner has; it counts only when
	// it comes from the owner itself.
	Complete bool
	Beat     beat
	Records  []record
}

// newest is the highest version that the statement proves its owner to have used.
func (s statement) newest() federation.Version {
	v := s.Beat.Version
	for _, r := range s.Records {
		if r.Version.Newer(v) {
			v = r.Version
		}
	}
	return v
}

// fingerprint identifies one live record; an owner's digest is the XOR over all.
func fingerprint(p federation.ServicePort, v federation.Version, c Count) uint64 {
	h := fnv.New64a()
	var b [26]byte
	binary.BigEndian.PutUint64(b[0:], v.Epoch)
	binary.BigEndian.PutUint64(b[8:], v.Sequence)
	binary.BigEndian.PutUint32(b[16:], c.Ready)
	binary.BigEndian.PutUint32(b[20:], c.Total)
	binary.BigEndian.PutUint16(b[24:], p.Port)
	_, _ = h.Write(b[:])
	_, _ = h.Write([]byte(p.Service.Namespace))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(p.Service.Name))
	return h.Sum64()
}
