package load

import (
	"errors"
	"testing"
	"time"
)

func TestLinesComeBackAsTheyWentInAndACutOneIsLeftOut(t *testing.T) {
	first := Result{Scheduled: time.Unix(10, 5), Latency: time.Millisecond, Served: "a/b"}
	second := Result{Scheduled: time.Unix(11, 0), Latency: time.Second, Err: errors.New("refused")}
	got, err := ParseLines(Line(second) + "\n" + Line(first) + "\n" + Line(first)[:9])
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[0].Scheduled.Equal(first.Scheduled) || got[0].Served != "a/b" || got[0].Latency != first.Latency {
		t.Fatalf("%+v", got)
	}
	if got[1].Err == nil || got[1].Err.Error() != "refused" {
		t.Errorf("the error is lost: %+v", got[1])
	}
	if _, err := ParseLines("nonsense\n"); err == nil {
		t.Error("nonsense was read")
	}
}
