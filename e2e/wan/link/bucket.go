package link

import "time"

// bucket is a token bucket, told by the time when it has sent all it was given: time
// saved before now, up to BucketBytes' worth, may be spent at once.
type bucket struct{ done time.Time }

// take sends some bytes. It returns when the last of them leaves, or false when more
// than queue bytes would wait.
func (b *bucket) take(now time.Time, bytes int, rate int64, queue int) (time.Time, bool) {
	begin := b.done
	if saved := now.Add(-airtime(BucketBytes, rate)); begin.Before(saved) {
		begin = saved
	}
	done := begin.Add(airtime(bytes, rate))
	if done.Sub(now) > airtime(queue, rate) {
		return time.Time{}, false
	}
	b.done = done
	if done.Before(now) {
		return now, true
	}
	return done, true
}

// airtime is how long some bytes take at a rate in bit/s.
func airtime(bytes int, rate int64) time.Duration {
	return time.Duration(float64(bytes) * 8e9 / float64(rate))
}
