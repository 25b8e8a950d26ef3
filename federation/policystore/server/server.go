package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Config says where the member listens and where it keeps its data.
type Config struct {
	// Name of the member. Default "causeway-store".
	Name string
	// DataDir holds everything; made if absent, with access for the owner only.
	DataDir string
	// ListenClient is "host:port" for clients.
	ListenClient string
	// AdvertiseClient is the "host:port" that clients are told; default ListenClient.
	AdvertiseClient string
	// CertFile, KeyFile and ClientCAFile turn mTLS on; all or none. Without them only
	// loopback may be listened on.
	CertFile, KeyFile, ClientCAFile string
	// ListenPeer is "IP:port" for the other members; without certificates it must be a
	// loopback address. Default "127.0.0.1:0", for a member that stays alone, is a free
	// port, chosen anew at each start.
	ListenPeer string
	// Token makes the ID of the etcd cluster when the member first starts, and is of no
	// account later. Default is a random one, so that a store made anew is not taken for
	// the one before; with InitialCluster that list, which is the same for all members.
	Token string
	// AdvertisePeer is the "host:port" that the other members are told, once and for all:
	// it is kept in the data. Default ListenPeer, or a placeholder if that is the default.
	AdvertisePeer string
	// PeerCAFile is the authority of the peers' certificates. Default ClientCAFile.
	PeerCAFile string
	// PeerCommonName must stand in a peer's certificate: the clients' come from the same
	// authority, and a peer may do everything. Default "policy-store".
	PeerCommonName string
	// InitialCluster is "name=url,name=url" of all members, for the first start of a store
	// with several or with Join. Default: this member alone.
	InitialCluster string
	// Join says that the store exists and has been told of this member. It matters at its
	// first start only.
	Join bool
	// QuotaBytes bounds the data. Default 512 MiB.
	QuotaBytes int64
	// Compaction is "periodic" or "revision", and Retention its extent ("1h", "1000").
	// Default: periodic, 1h.
	Compaction, Retention string
	// StartTimeout bounds the time until the member serves. Default 60 s.
	StartTimeout time.Duration
	// StopTimeout bounds the time to stop. Default 10 s.
	StopTimeout time.Duration
}

// DefaultConfig returns the defaults; DataDir and ListenClient are the caller's.
func DefaultConfig() Config {
	return Config{
		Name: "causeway-store", ListenPeer: aloneAddress, PeerCommonName: "policy-store",
		QuotaBytes: 512 << 20, Compaction: embed.CompactorModePeriodic, Retention: "1h",
		StartTimeout: time.Minute, StopTimeout: 10 * time.Second,
	}
}

func (c *Config) fill() {
	d := DefaultConfig()
	for _, s := range []struct{ is, def *string }{
		{&c.Name, &d.Name}, {&c.ListenPeer, &d.ListenPeer}, {&c.AdvertiseClient, &c.ListenClient},
		{&c.Compaction, &d.Compaction}, {&c.Retention, &d.Retention},
		{&c.PeerCAFile, &c.ClientCAFile}, {&c.PeerCommonName, &d.PeerCommonName},
	} {
		if *s.is == "" {
			*s.is = *s.def
		}
	}
	switch {
	case c.Token == "" && c.InitialCluster != "":
		c.Token = c.InitialCluster // the same for all that start together
	case c.Token == "":
		c.Token = rand.Text()
	}
	if c.AdvertisePeer == "" && c.ListenPeer != aloneAddress {
		c.AdvertisePeer = c.ListenPeer
	}
	if c.QuotaBytes == 0 {
		c.QuotaBytes = d.QuotaBytes
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = d.StartTimeout
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = d.StopTimeout
	}
}

// Validate joins all faults.
func (c Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("policy store: no data directory given"))
	}
	for name, a := range map[string]string{"client": c.ListenClient, "advertised client": c.AdvertiseClient, "peer": c.ListenPeer} {
		if _, _, err := net.SplitHostPort(a); err != nil {
			errs = append(errs, fmt.Errorf("policy store: %s address %q: want host:port", name, a))
		}
	}
	given := 0
	for _, f := range []string{c.CertFile, c.KeyFile, c.ClientCAFile} {
		if f != "" {
			given++
		}
	}
	switch {
	case given == 3:
	case given > 0:
		errs = append(errs, errors.New("policy store: certificate, key and client CA go together, give all three"))
	case !loopback(c.ListenClient):
		errs = append(errs, fmt.Errorf("policy store: %s is not a loopback address, so certificate, key and client CA are required", c.ListenClient))
	}
	errs = append(errs, c.validatePeers()...)
	if c.QuotaBytes < 0 || c.StartTimeout < 0 || c.StopTimeout < 0 {
		errs = append(errs, errors.New("policy store: quota and timeouts can't be negative"))
	}
	return errors.Join(errs...)
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Deps are what the server needs from outside.
type Deps struct{ Log *slog.Logger }

// Server is one etcd member.
type Server struct {
	cfg   Config
	log   *slog.Logger
	ready chan struct{} // Run closes it once clients are served
}

// New checks the configuration and starts nothing.
func New(cfg Config, deps Deps) (*Server, error) {
	cfg.fill()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: deps.Log, ready: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// Ready is closed once the member serves clients.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx ends. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	etcd, err := embed.StartEtcd(s.etcdConfig())
	if err != nil {
		return s.explain(err)
	}
	defer s.stop(etcd)
	select {
	case <-etcd.Server.ReadyNotify():
		s.log.Info("policy store serves", "client", s.cfg.ListenClient, "data", s.cfg.DataDir)
		close(s.ready)
	case err := <-etcd.Err():
		return s.explain(err)
	case <-etcd.Server.StopNotify():
		return errors.New("policy store stopped before it was ready")
	case <-time.After(s.cfg.StartTimeout):
		return fmt.Errorf("policy store did not become ready within %s: look at the disk under %s, or restore the data from a backup", s.cfg.StartTimeout, s.cfg.DataDir)
	case <-ctx.Done():
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-etcd.Err():
		return s.explain(err)
	case <-etcd.Server.StopNotify():
		return errors.New("policy store stopped by itself: see its log above")
	}
}

// stop ends the member. etcd has no bound of its own: a client's open stream could
// hold it.
func (s *Server) stop(etcd *embed.Etcd) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		etcd.Close()
	}()
	select {
	case <-done:
	case <-time.After(s.cfg.StopTimeout):
		s.log.Warn("policy store is slow to stop", "timeout", s.cfg.StopTimeout)
		etcd.Server.HardStop()
		<-done
	}
}

// check finds what a person must repair, before etcd says it in its own words.
func (s *Server) check() error {
	if err := os.MkdirAll(s.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("policy store: data directory %s can't be made, choose another or repair its permissions: %w", s.cfg.DataDir, err)
	}
	probe, err := os.CreateTemp(s.cfg.DataDir, ".writable-")
	if err != nil {
		return fmt.Errorf("policy store: data directory %s can't be written to, choose another or repair its permissions: %w", s.cfg.DataDir, err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	for _, f := range []string{s.cfg.CertFile, s.cfg.KeyFile, s.cfg.ClientCAFile, s.cfg.PeerCAFile} {
		if f == "" {
			continue
		}
		if _, err := os.ReadFile(f); err != nil {
			return fmt.Errorf("policy store: certificate file can't be read: %w", err)
		}
	}
	l, err := net.Listen("tcp", s.cfg.ListenClient)
	if err != nil {
		return s.explain(err)
	}
	return l.Close()
}

func (s *Server) explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("policy store: %s is already taken, stop the other process or choose another port: %w", s.cfg.ListenClient, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("policy store: %s is no address of this machine: %w", s.cfg.ListenClient, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("policy store: no permission, for the port %s or the data in %s: %w", s.cfg.ListenClient, s.cfg.DataDir, err)
	}
	return fmt.Errorf("policy store: %w", err)
}

func (s *Server) etcdConfig() *embed.Config {
	c := embed.NewConfig()
	c.Name = s.cfg.Name
	c.Dir = filepath.Join(s.cfg.DataDir, "etcd")
	scheme := "http"
	if s.cfg.CertFile != "" {
		scheme = "https"
		c.ClientTLSInfo = transport.TLSInfo{
			CertFile: s.cfg.CertFile, KeyFile: s.cfg.KeyFile,
			TrustedCAFile: s.cfg.ClientCAFile, ClientCertAuth: true,
		}
	}
	c.ListenClientUrls = []url.URL{{Scheme: scheme, Host: s.cfg.ListenClient}}
	c.AdvertiseClientUrls = []url.URL{{Scheme: scheme, Host: s.cfg.AdvertiseClient}}
	s.peers(c)
	c.InitialClusterToken = s.cfg.Token
	c.QuotaBackendBytes = s.cfg.QuotaBytes
	c.AutoCompactionMode, c.AutoCompactionRetention = s.cfg.Compaction, s.cfg.Retention
	c.EnableGRPCGateway = false
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(core{s.log}))
	return c
}

// core hands etcd's warnings and errors to slog; the rest is too much to keep.
type core struct{ log *slog.Logger }

func (core) Enabled(l zapcore.Level) bool          { return l >= zapcore.WarnLevel }
func (c core) With(f []zapcore.Field) zapcore.Core { return core{c.log.With(attributes(f)...)} }
func (core) Sync() error                           { return nil }
func (c core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c core) Write(e zapcore.Entry, f []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	c.log.Log(context.Background(), level, "etcd: "+e.Message, attributes(f)...)
	return nil
}

func attributes(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]any, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		out = append(out, slog.Any(k, v))
	}
	return out
}
