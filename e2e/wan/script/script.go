package script

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
)

// Bounds of a script.
const (
	MaxBytes  = 1 << 20
	MaxEvents = 10_000
	MaxTime   = 24 * time.Hour
)

// Any matches every site.
const Any = "*"

// Event is a change and its time after the start.
type Event struct {
	At     time.Duration
	Change Change
}

func (e Event) String() string { return fmt.Sprintf("at %s %s", e.At, e.Change) }

// Script is a list of events in the order of their times.
type Script []Event

func (s Script) String() string {
	var b strings.Builder
	for _, e := range s {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

// Parse reads a script. The error names the line.
func Parse(text string) (Script, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("a script of %d bytes: at most %d are read", len(text), MaxBytes)
	}
	var s Script
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		e, err := parseEvent(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if s = append(s, e); len(s) > MaxEvents {
			return nil, fmt.Errorf("line %d: more than %d events", number, MaxEvents)
		}
	}
	slices.SortStableFunc(s, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return s, nil
}

func parseEvent(line string) (Event, error) {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "at" {
		return Event{}, fmt.Errorf("%q does not begin with `at` and a time", strings.TrimSpace(line))
	}
	at, err := time.ParseDuration(words[1])
	if err != nil || at < 0 || at > MaxTime {
		return Event{}, fmt.Errorf("%q is not a time within 0 and %s, such as 1.5s", words[1], MaxTime)
	}
	c, err := parseChange(words[2:])
	return Event{at, c}, err
}

// Change is what becomes of one direction or several.
type Change struct {
	From, To string // names or Any
	Both     bool   // the way back too
	settings []setting
}

// ParseChange reads a change without a time, such as "us-east>eu-west loss 20%".
func ParseChange(text string) (Change, error) { return parseChange(strings.Fields(text)) }

func parseChange(words []string) (Change, error) {
	if len(words) < 2 {
		return Change{}, fmt.Errorf("want a direction such as us-east>eu-west, and what becomes of it")
	}
	c, err := parseDirection(words[0])
	if err != nil {
		return c, err
	}
	c.settings, err = parseSettings(words[1:])
	return c, err
}

func parseDirection(word string) (c Change, err error) {
	var ok bool
	if c.From, c.To, ok = strings.Cut(word, "<>"); ok {
		c.Both = true
	} else if c.From, c.To, ok = strings.Cut(word, ">"); !ok {
		return c, fmt.Errorf("%q is not a direction such as us-east>eu-west or us-east<>*", word)
	}
	for _, name := range []string{c.From, c.To} {
		if name != Any && !ValidSite(name) {
			return c, fmt.Errorf("%q is not the name of a site", name)
		}
	}
	if c.From == c.To && c.From != Any {
		return c, fmt.Errorf("%s: a site has no way to itself", word)
	}
	return c, nil
}

// ValidSite says whether a script can speak of a site of that name: a DNS label.
func ValidSite(name string) bool {
	return len(name) > 0 && len(name) <= 63 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func (c Change) String() string {
	arrow := ">"
	if c.Both {
		arrow = "<>"
	}
	words := []string{c.From + arrow + c.To}
	for _, s := range c.settings {
		words = append(words, s.words...)
	}
	return strings.Join(words, " ")
}

// Matches says whether the change is about a direction.
func (c Change) Matches(from, to string) bool {
	is := func(pattern, name string) bool { return pattern == Any || pattern == name }
	return from != to && (is(c.From, from) && is(c.To, to) || c.Both && is(c.From, to) && is(c.To, from))
}

// Apply makes the new settings of a direction's old ones; base is what `clear` goes
// back to.
func (c Change) Apply(old, base link.Settings) link.Settings {
	for _, s := range c.settings {
		s.apply(&old, base)
	}
	return old
}
