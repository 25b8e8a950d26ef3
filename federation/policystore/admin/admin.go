package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Config says which store, and as whom.
type Config struct {
	// Endpoints are the members' client URLs, "https://host:port" (or "host:port").
	Endpoints []string
	// TLS holds the store's CA and root's client certificate. Nil is plain TCP, for tests.
	TLS *tls.Config
	// RequestTimeout bounds each request. Default 5 s.
	RequestTimeout time.Duration
	// Say tells a person each step that was taken. Default: nobody.
	Say func(format string, args ...any)
}

func (c *Config) fill() {
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 5 * time.Second
	}
	if c.Say == nil {
		c.Say = func(string, ...any) {}
	}
	scheme := "http://"
	if c.TLS != nil {
		scheme = "https://"
	}
	endpoints := make([]string, len(c.Endpoints))
	for i, e := range c.Endpoints {
		endpoints[i] = e
		if !strings.Contains(e, "://") {
			endpoints[i] = scheme + e
		}
	}
	c.Endpoints = endpoints
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("no endpoint of the policy store given"))
	}
	for _, e := range c.Endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			errs = append(errs, fmt.Errorf("endpoint %q: want https://host:port", e))
		case u.Scheme == "http" && c.TLS != nil:
			errs = append(errs, fmt.Errorf("endpoint %q: users are known by their certificates, so it must be https", e))
		}
	}
	if c.RequestTimeout < 0 {
		errs = append(errs, errors.New("the request timeout can't be negative"))
	}
	return errors.Join(errs...)
}

// Admin is a connection to a store, with the rights of its certificate.
type Admin struct {
	cfg    Config
	client *clientv3.Client
	// anonymous are endpoints that let clients in without a certificate.
	anonymous []string
}

// Open knocks at every endpoint; one that answers is enough. An error says of each what
// is wrong with it: no answer, or no trust. The caller closes what it got.
func Open(ctx context.Context, cfg Config) (*Admin, error) {
	cfg.fill()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Admin{cfg: cfg}
	var faults []error
	for _, e := range cfg.Endpoints {
		asked, err := a.knock(ctx, e)
		if err != nil {
			faults = append(faults, err)
		} else if !asked {
			a.anonymous = append(a.anonymous, e)
		}
	}
	if len(faults) == len(cfg.Endpoints) {
		return nil, fmt.Errorf("no endpoint of the policy store can be used:\n%w", errors.Join(faults...))
	}
	for _, f := range faults {
		cfg.Say("warning: %v", f)
	}
	var err error
	a.client, err = clientv3.New(a.clientConfig(ctx, cfg.Endpoints...))
	if err != nil {
		return nil, fmt.Errorf("policy store client: %w", err)
	}
	return a, nil
}

func (a *Admin) clientConfig(ctx context.Context, endpoints ...string) clientv3.Config {
	return clientv3.Config{
		Context: ctx, Endpoints: endpoints, TLS: a.cfg.TLS,
		DialTimeout: a.cfg.RequestTimeout, Logger: zap.NewNop(),
	}
}

// Close ends the connection.
func (a *Admin) Close() error { return a.client.Close() }

// user is the common name of our certificate; "" without one.
func (a *Admin) user() string {
	if a.cfg.TLS == nil || len(a.cfg.TLS.Certificates) == 0 {
		return ""
	}
	leaf := a.cfg.TLS.Certificates[0].Leaf
	if leaf == nil {
		var err error
		if leaf, err = x509.ParseCertificate(a.cfg.TLS.Certificates[0].Certificate[0]); err != nil {
			return ""
		}
	}
	return leaf.Subject.CommonName
}

// knock connects once, because gRPC would try until the deadline and then say only that.
// asked tells whether the other side wanted our certificate.
func (a *Admin) knock(ctx context.Context, endpoint string) (asked bool, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.RequestTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false, fmt.Errorf("%s does not answer: check that the member runs and that the address is right: %w", endpoint, err)
	}
	defer func() { _ = raw.Close() }()
	if a.cfg.TLS == nil {
		return false, nil
	}
	return handshake(ctx, raw, u.Hostname(), a.cfg.TLS, endpoint)
}

func handshake(ctx context.Context, raw net.Conn, host string, trust *tls.Config, endpoint string) (asked bool, err error) {
	trust = trust.Clone()
	trust.NextProtos = []string{"h2"}
	if trust.ServerName == "" {
		trust.ServerName = host
	}
	ours := trust.Certificates
	trust.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		if len(ours) == 0 {
			return &tls.Certificate{}, nil
		}
		return &ours[0], nil
	}
	conn := tls.Client(raw, trust)
	if err := conn.HandshakeContext(ctx); err != nil {
		return asked, fmt.Errorf("%s is not to be trusted: check that the store's CA has signed its certificate and that the certificate names this address: %w", endpoint, err)
	}
	// A server of TLS 1.3 judges our certificate after the handshake: its refusal is the
	// first thing to be read. Silence is none.
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return asked, err
	}
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); err != nil && (!errors.As(err, &timeout) || !timeout.Timeout()) {
		return asked, fmt.Errorf("%s refuses our certificate: give one that the store's CA has signed and that has not run out: %w", endpoint, err)
	}
	return asked, nil
}

// within gives a request its deadline.
func (a *Admin) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.cfg.RequestTimeout)
}
