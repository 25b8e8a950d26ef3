package server_test

import (
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

func TestPeersThatCannotWorkAreRefused(t *testing.T) {
	behindTLS := func(c *server.Config) { c.CertFile, c.KeyFile, c.ClientCAFile = "crt", "key", "ca" }
	for says, change := range map[string]func(*server.Config){
		"certificate, key and client CA are required": func(c *server.Config) { c.ListenPeer = "10.0.0.1:2380" },
		"reach this one": func(c *server.Config) { behindTLS(c); c.ListenPeer = "0.0.0.0:2380" },
		"to join, give the initial cluster": func(c *server.Config) {
			behindTLS(c)
			c.Join = true
		},
		"give the peer address": func(c *server.Config) { c.InitialCluster = "x=https://x:2380" },
		"make them agree": func(c *server.Config) {
			behindTLS(c)
			c.AdvertisePeer, c.InitialCluster = "x:2380", "causeway-store=https://y:2380,other=https://x:2380"
		},
		"want name=": func(c *server.Config) { c.AdvertisePeer, c.InitialCluster = "x:2380", "what" },
	} {
		cfg := server.DefaultConfig()
		cfg.DataDir, cfg.ListenClient = t.TempDir(), "127.0.0.1:2379"
		change(&cfg)
		if _, err := server.New(cfg, server.Deps{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	cfg := server.DefaultConfig()
	cfg.DataDir, cfg.ListenClient = t.TempDir(), "127.0.0.1:2379"
	behindTLS(&cfg)
	cfg.ListenPeer, cfg.AdvertisePeer, cfg.Join = "0.0.0.0:2380", "x:2380", true
	cfg.InitialCluster = "other=https://y:2380,causeway-store=https://x:2380"
	if _, err := server.New(cfg, server.Deps{}); err != nil {
		t.Errorf("a member that joins: %v", err)
	}
}
