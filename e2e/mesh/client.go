package mesh

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/e2e/load"
	"github.com/causeway-mesh/causeway/e2e/testbed"
)

// Client stands for a client Pod together with the node's kube-proxy: it dials
// the ready addresses of the derived Service's slices in turn, the next one on
// refusal.
type Client struct {
	cluster   *testbed.Cluster
	namespace string
	service   string
	addresses atomic.Pointer[[]string]
	next      atomic.Uint32
}

// NewClient returns a client of an imported service; Run keeps its addresses.
func NewClient(c *testbed.Cluster, namespace, service string) *Client {
	return &Client{cluster: c, namespace: namespace, service: service}
}

// Run follows the slices until ctx ends, as kube-proxy does.
func (c *Client) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.follow(ctx); err != nil && ctx.Err() == nil {
			select { // the API server is away; the last addresses stay
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
}

func (c *Client) follow(ctx context.Context) error {
	api := c.cluster.Client().DiscoveryV1().EndpointSlices(c.namespace)
	options := metav1.ListOptions{LabelSelector: "endpointslice.kubernetes.io/managed-by=" + v1alpha1.ManagedBy}
	for {
		list, err := api.List(ctx, options)
		if err != nil {
			return err
		}
		c.set(list.Items)
		watch := options
		watch.ResourceVersion = list.ResourceVersion
		events, err := api.Watch(ctx, watch)
		if err != nil {
			return err
		}
		_, ok := <-events.ResultChan()
		events.Stop()
		if !ok {
			return errors.New("watch ended")
		}
	}
}

func (c *Client) set(slices []discoveryv1.EndpointSlice) {
	var out []string
	for _, s := range slices {
		if s.Labels["multicluster.kubernetes.io/service-name"] != c.service || s.Labels[discoveryv1.LabelServiceName] == "" {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, a := range e.Addresses {
				for _, p := range s.Ports {
					out = append(out, net.JoinHostPort(a, fmt.Sprint(*p.Port)))
				}
			}
		}
	}
	c.addresses.Store(&out)
}

// Dial opens a connection from a client address of the cluster.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	held := c.addresses.Load()
	if held == nil || len(*held) == 0 {
		return nil, fmt.Errorf("the derived Service of %s/%s has no ready address", c.namespace, c.service)
	}
	first := int(c.next.Add(1))
	var errs []error
	for i := range *held {
		addr := (*held)[(first+i)%len(*held)]
		conn, err := c.cluster.Site.DialFrom(ctx, "tcp", c.cluster.Site.ClientAddr(1), addr)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Request makes one request on a new connection and says who answered.
func (c *Client) Request(ctx context.Context) (string, error) {
	conn, err := c.Dial(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	request := "GET / HTTP/1.1\r\nHost: " + c.service + "." + c.namespace + ".svc\r\nConnection: close\r\n\r\n"
	if _, err := conn.Write([]byte(request)); err != nil {
		return "", err
	}
	served, err := load.ReadAnswer(bufio.NewReader(conn))
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return served, err
}

// First tries until a request succeeds.
func (c *Client) First(ctx context.Context) (string, error) {
	return c.until(ctx, func(string) bool { return true })
}

// settledRow is how many answers in a row show that every gateway agrees.
const settledRow = 10

// AwaitServedBy waits until a cluster answers settledRow times in a row.
func (c *Client) AwaitServedBy(ctx context.Context, cluster string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	row := 0
	_, err := c.until(ctx, func(served string) bool {
		if row++; !strings.HasPrefix(served, cluster+"/") {
			row = 0
		}
		return row == settledRow
	})
	return err
}

func (c *Client) until(ctx context.Context, want func(string) bool) (string, error) {
	var last string
	var lastErr error
	for {
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		last, lastErr = c.Request(one)
		cancel()
		if lastErr == nil && want(last) {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %s/%s from %s: %w (last answer %q, %v)", c.namespace, c.service, c.cluster.Name, ctx.Err(), last, lastErr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
