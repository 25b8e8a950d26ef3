package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswer bounds an answer of Prometheus, in bytes.
const maxAnswer = 16 << 20

// API is a Prometheus' HTTP API.
type API struct {
	// Base is its URL, without a path.
	Base string
	HTTP *http.Client
}

// Series are the labels of one series of an answer.
type Series map[string]string

// ScrapedTarget is what Prometheus says of a target.
type ScrapedTarget struct {
	Labels                       Series
	Health, ScrapeURL, LastError string
}

// Rule is what Prometheus says of a rule.
type Rule struct {
	Name, Type, Query, Health, LastError string
	Alerts                               []Alert
}

// Alert is one that is pending or firing.
type Alert struct {
	Labels, Annotations Series
	State               string
}

// Range answers a query over time, with the labels of each series that had any value.
func (a *API) Range(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]Series, error) {
	second := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	var data struct {
		Result []struct{ Metric Series }
	}
	err := a.get(ctx, "query_range", url.Values{
		"query": {expr}, "start": {second(from)}, "end": {second(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	}, &data)
	var out []Series
	for _, r := range data.Result {
		out = append(out, r.Metric)
	}
	return out, err
}

// LabelValues are those of a label on the series that match.
func (a *API) LabelValues(ctx context.Context, match, label string) (out []string, err error) {
	err = a.get(ctx, "label/"+url.PathEscape(label)+"/values", url.Values{"match[]": {match}}, &out)
	return out, err
}

// Targets are those that are scraped.
func (a *API) Targets(ctx context.Context) ([]ScrapedTarget, error) {
	var data struct{ ActiveTargets []ScrapedTarget }
	err := a.get(ctx, "targets", url.Values{"state": {"active"}}, &data)
	return data.ActiveTargets, err
}

// Rules are all rules, in their order.
func (a *API) Rules(ctx context.Context) ([]Rule, error) {
	var data struct {
		Groups []struct{ Rules []Rule }
	}
	err := a.get(ctx, "rules", nil, &data)
	var out []Rule
	for _, g := range data.Groups {
		out = append(out, g.Rules...)
	}
	return out, err
}

// get asks and reads into what lies under "data".
func (a *API) get(ctx context.Context, path string, args url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Base+"/api/v1/"+path+"?"+args.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("asking Prometheus: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil {
		return fmt.Errorf("reading the answer of Prometheus (%s): %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("asking Prometheus %s: %s", args.Encode(), answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}
