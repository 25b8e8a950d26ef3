package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// line is a Result on its way out of a pod: one JSON object a line.
type line struct {
	Scheduled int64  `json:"at"` // ns since 1970; driver and reader share a machine
	Latency   int64  `json:"ns"`
	Served    string `json:"by,omitempty"`
	Error     string `json:"error,omitempty"`
}

// Line writes a result as one line of text.
func Line(r Result) string {
	l := line{Scheduled: r.Scheduled.UnixNano(), Latency: int64(r.Latency), Served: r.Served}
	if r.Err != nil {
		l.Error = r.Err.Error()
	}
	text, _ := json.Marshal(l) // numbers and strings
	return string(text)
}

// ParseLines reads what Line wrote, one result a line; a cut last line is left out.
func ParseLines(text string) ([]Result, error) {
	var out []Result
	whole, _ := cutLast(text)
	for n, one := range strings.Split(whole, "\n") {
		if one == "" {
			continue
		}
		var l line
		if err := json.Unmarshal([]byte(one), &l); err != nil {
			return nil, fmt.Errorf("line %d %q: %w", n+1, one, err)
		}
		r := Result{Scheduled: time.Unix(0, l.Scheduled), Latency: time.Duration(l.Latency), Served: l.Served}
		if l.Error != "" {
			r.Err = errors.New(l.Error)
		}
		out = append(out, r)
	}
	Sort(out)
	return out, nil
}

// cutLast splits after the last line feed.
func cutLast(text string) (whole, rest string) {
	i := strings.LastIndexByte(text, '\n')
	return text[:i+1], text[i+1:]
}
