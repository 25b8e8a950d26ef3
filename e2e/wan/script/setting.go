package script

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
)

// setting is one verb with its arguments.
type setting struct {
	words []string // as written
	apply effect
}

// effect changes settings; base is what `clear` goes back to.
type effect func(s *link.Settings, base link.Settings)

// reader takes arguments off a list of words and remembers the first error.
type reader struct {
	words []string
	taken int
	err   error
}

func (r *reader) next(what string) string {
	if r.taken == len(r.words) {
		r.fail("%s needs %s", r.words[0], what)
		return ""
	}
	r.taken++
	return r.words[r.taken-1]
}

// option takes the word, if it is the next one.
func (r *reader) option(word string) bool {
	if r.taken < len(r.words) && r.words[r.taken] == word {
		r.taken++
		return true
	}
	return false
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) duration() time.Duration {
	word := r.next("a time such as 40ms")
	d, err := time.ParseDuration(word)
	if err != nil {
		r.fail("%q is not a time such as 40ms", word)
	}
	return d
}

func (r *reader) share() float64 {
	word := r.next("a share such as 20%")
	number, ok := strings.CutSuffix(word, "%")
	p, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil {
		r.fail("%q is not a share such as 20%%", word)
	}
	return p / 100
}

func (r *reader) number() float64 {
	word := r.next("a number")
	n, err := strconv.ParseFloat(word, 64)
	if err != nil {
		r.fail("%q is not a number", word)
	}
	return n
}

// units are of rates and of sizes; longer suffixes first.
type unit struct {
	suffix string
	factor float64
}

var (
	rates = []unit{{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}}
	sizes = []unit{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"B", 1}}
)

// quantity is a number with its unit, at most limit.
func (r *reader) quantity(units []unit, example string, limit float64) int64 {
	word := r.next("a quantity such as " + example)
	for _, u := range units {
		number, ok := strings.CutSuffix(word, u.suffix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseFloat(number, 64); err == nil && n > 0 && n*u.factor <= limit {
			return int64(n * u.factor)
		}
	}
	r.fail("%q is not a quantity such as %s, or too large", word, example)
	return 0
}

// verbs read what stands behind their word.
var verbs = map[string]func(*reader) effect{
	"delay": func(r *reader) effect {
		d := r.duration()
		return func(s *link.Settings, _ link.Settings) { s.Delay = d }
	},
	"jitter": func(r *reader) effect {
		d := r.duration()
		tail := r.option("exponential")
		if !tail {
			r.option("uniform")
		}
		return func(s *link.Settings, _ link.Settings) { s.Jitter, s.Exponential = d, tail }
	},
	"loss": func(r *reader) effect {
		p, burst := r.share(), 0.0
		if r.option("burst") {
			burst = r.number()
		}
		return func(s *link.Settings, _ link.Settings) { s.Loss, s.Burst = p, burst }
	},
	"duplicate": func(r *reader) effect {
		p := r.share()
		return func(s *link.Settings, _ link.Settings) { s.Duplicate = p }
	},
	"reorder": func(r *reader) effect {
		p, by := r.share(), defaultReorderBy
		if r.option("by") {
			by = r.duration()
		}
		return func(s *link.Settings, _ link.Settings) { s.Reorder, s.ReorderBy = p, by }
	},
	"rate": func(r *reader) effect {
		var rate, queue int64
		if !r.option("unlimited") {
			rate = r.quantity(rates, "10mbit", float64(link.MaxRate))
		}
		if r.option("queue") {
			queue = r.quantity(sizes, "256KiB", link.MaxQueue)
		}
		return func(s *link.Settings, _ link.Settings) { s.Rate, s.Queue = rate, int(queue) }
	},
	"down": func(*reader) effect {
		return func(s *link.Settings, _ link.Settings) { s.Down = true }
	},
	"up": func(*reader) effect {
		return func(s *link.Settings, _ link.Settings) { s.Down = false }
	},
	"clear": func(*reader) effect {
		return func(s *link.Settings, base link.Settings) { *s = base }
	},
}

// defaultReorderBy is how long a packet is held back where the script does not say.
const defaultReorderBy = 10 * time.Millisecond

func parseSettings(words []string) (out []setting, err error) {
	for len(words) > 0 {
		verb := verbs[words[0]]
		if verb == nil {
			return nil, fmt.Errorf("%q is none of clear, delay, down, duplicate, jitter, loss, rate, reorder, up", words[0])
		}
		r := &reader{words: words, taken: 1}
		s := setting{apply: verb(r)}
		if r.err != nil {
			return nil, r.err
		}
		// Each verb sets fields that belong together, so what is valid by itself is
		// valid beside the others.
		var alone link.Settings
		s.apply(&alone, link.Settings{})
		if err := alone.Validate(); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(words[:r.taken], " "), err)
		}
		s.words = slices.Clone(words[:r.taken])
		out, words = append(out, s), words[r.taken:]
	}
	return out, nil
}
