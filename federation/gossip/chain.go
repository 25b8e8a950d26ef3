package gossip

import (
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// knot is one value of a one-way chain. Every batch carries, under its signature, the
// end of a fresh chain; each later beat shows a value closer to its beginning, which
// only the signer can know. So a heartbeat is as much the owner's word as a signature,
// may be passed on by anybody, and costs a reader a hash instead of a verification.
type knot [16]byte

const (
	// tick is the time for which one knot stands: knot n is shown n ticks after its
	// batch was made, never earlier.
	tick = 250 * time.Millisecond
	// chainLength ticks after a batch its owner has to sign another one.
	chainLength = 2048
)

var chainDomain = []byte("causeway gossip beat\x00")

// next is the knot closer to the end.
func (k knot) next() knot {
	var b [64]byte
	n := copy(b[:], chainDomain)
	n += copy(b[n:], k[:])
	sum := sha256.Sum256(b[:n])
	return knot(sum[:len(k)])
}

// leads says whether k, after steps, becomes end.
func (k knot) leads(end knot, steps uint64) bool {
	if steps > chainLength {
		return false
	}
	for range steps {
		k = k.next()
	}
	return k == end
}

// chain is the owner's side: every knot, the end first.
type chain [chainLength + 1]knot

func newChain() *chain {
	var first knot
	_, _ = rand.Read(first[:]) // never fails
	return chainFrom(first)
}

func chainFrom(k knot) *chain {
	c := new(chain)
	for i := chainLength; i >= 0; i-- {
		c[i] = k
		k = k.next()
	}
	return c
}
