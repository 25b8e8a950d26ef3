package script

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/e2e/wan/link"
)

const ms = time.Millisecond

func TestChangesSayWhatBecomesOfADirection(t *testing.T) {
	base := link.Settings{Delay: 40 * ms}
	busy := link.Settings{Delay: 80 * ms, Loss: 0.5, Down: true}
	for text, want := range map[string]link.Settings{
		"a>b delay 10ms":                    {Delay: 10 * ms, Loss: 0.5, Down: true},
		"a>b jitter 5ms":                    {Delay: 80 * ms, Loss: 0.5, Down: true, Jitter: 5 * ms},
		"a>b jitter 5ms uniform up":         {Delay: 80 * ms, Loss: 0.5, Jitter: 5 * ms},
		"a>b jitter 5ms exponential":        {Delay: 80 * ms, Loss: 0.5, Down: true, Jitter: 5 * ms, Exponential: true},
		"a>b clear loss 20%":                {Delay: 40 * ms, Loss: 0.2},
		"a>b clear loss 20% burst 4":        {Delay: 40 * ms, Loss: 0.2, Burst: 4},
		"a>b clear duplicate 1%":            {Delay: 40 * ms, Duplicate: 0.01},
		"a>b clear reorder 1%":              {Delay: 40 * ms, Reorder: 0.01, ReorderBy: 10 * ms},
		"a>b clear reorder 1% by 30ms":      {Delay: 40 * ms, Reorder: 0.01, ReorderBy: 30 * ms},
		"a>b clear rate 1.5mbit":            {Delay: 40 * ms, Rate: 1.5e6},
		"a>b clear rate 1gbit queue 64KiB":  {Delay: 40 * ms, Rate: 1e9, Queue: 64 << 10},
		"a>b rate 1gbit rate unlimited":     busy,
		"a<>b   clear  down":                {Delay: 40 * ms, Down: true},
		"a>* clear":                         base,
		"us-east-1<>eu-west-1 delay 0s":     {Loss: 0.5, Down: true},
		"a>b delay 10ms jitter 1ms loss 0%": {Delay: 10 * ms, Jitter: ms, Down: true},
	} {
		c, err := ParseChange(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, c.Apply(busy, base)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestDirectionsMatch(t *testing.T) {
	for text, want := range map[string]string{
		"a>b": "ab", "b>a": "ba", "a<>b": "ab ba", "a>*": "ab ac", "*>a": "ba ca", "a<>*": "ab ac ba ca",
		"*>*": "ab ac ba bc ca cb",
	} {
		c, err := ParseChange(text + " down")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, from := range "abc" {
			for _, to := range "abc" {
				if c.Matches(string(from), string(to)) {
					got = append(got, string(from)+string(to))
				}
			}
		}
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestAScriptIsInTheOrderOfItsTimes(t *testing.T) {
	s, err := Parse("# a comment\n\nat 10s a>b down # for a while\nat 5s a>b loss 20%\nat 10s b>a up\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("at 5s a>b loss 20%\nat 10s a>b down\nat 10s b>a up\n", s.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsWrongIsToldWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"a>b down":                      "line 1: \"a>b down\" does not begin with `at`",
		"\nat noon a>b down":            `line 2: "noon" is not a time`,
		"at -1s a>b down":               `"-1s" is not a time`,
		"at 25h a>b down":               `"25h" is not a time`,
		"at 1s":                         "want a direction",
		"at 1s a>b":                     "want a direction",
		"at 1s a-b down":                `"a-b" is not a direction`,
		"at 1s a>a down":                "no way to itself",
		"at 1s a>B down":                `"B" is not the name`,
		"at 1s >b down":                 `"" is not the name`,
		"at 1s a>b sideways":            `"sideways" is none of`,
		"at 1s a>b delay":               "delay needs a time",
		"at 1s a>b delay 5":             `"5" is not a time`,
		"at 1s a>b delay -5ms":          "not within",
		"at 1s a>b delay 1h":            "not within",
		"at 1s a>b loss 0.2":            `"0.2" is not a share`,
		"at 1s a>b loss 120%":           "is not a share between",
		"at 1s a>b loss NaN%":           "is not a share between",
		"at 1s a>b loss 90% burst 2":    "good packet between",
		"at 1s a>b loss 10% burst many": `"many" is not a number`,
		"at 1s a>b reorder 1% by 0s":    "held back",
		"at 1s a>b rate 10":             `"10" is not a quantity`,
		"at 1s a>b rate 10tbit":         "is not a quantity",
		"at 1s a>b rate 100000gbit":     "too large",
		"at 1s a>b rate 0.1kbit":        "not within",
		"at 1s a>b rate 1gbit queue -1": "is not a quantity",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, s, err, want)
		}
	}
}

func TestWhatIsReadIsBounded(t *testing.T) {
	if _, err := Parse(strings.Repeat("#", MaxBytes+1)); err == nil {
		t.Error("a script beyond MaxBytes is read")
	}
	if _, err := Parse(strings.Repeat("at 0s a>b up\n", MaxEvents+1)); err == nil {
		t.Error("more than MaxEvents are read")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("at 5s us-east>eu-west loss 20%")
	f.Add("at 1m *<>a clear delay 1ms jitter 1ms exponential loss 5% burst 4 duplicate 1% reorder 1% by 3ms rate 1mbit queue 9KiB # x")
	f.Add("at 0s a>b rate unlimited up\nat 0s a>b down")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q reads as %q, and that as %q: %v", text, s, again, err)
		}
		base := link.Settings{Delay: ms, Loss: 0.5, Burst: 2}
		at := time.Duration(0)
		for _, e := range s {
			if e.At < at {
				t.Errorf("%s comes after %s", e, at)
			}
			at = e.At
			if base = e.Change.Apply(base, link.Settings{}); base.Validate() != nil {
				t.Errorf("%s makes %+v", e, base)
			}
		}
	})
}
