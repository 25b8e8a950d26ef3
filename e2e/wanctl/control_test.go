package main

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/e2e/wan"
	"github.com/causeway-mesh/causeway/e2e/wan/netns"
)

// running is a network of two sites that answers on a socket.
func running(t *testing.T) (w *wan.WAN, socket string) {
	t.Helper()
	space := func() *netns.NS {
		ns, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ns.Close)
		return ns
	}
	cfg := wan.DefaultConfig()
	cfg.Sites = map[wan.Site]netip.Prefix{"us-east": netip.MustParsePrefix("10.1.0.0/16"), "eu-west": netip.MustParsePrefix("10.2.0.0/16")}
	w, err := wan.New(cfg, wan.Deps{Sites: map[wan.Site]*netns.NS{"us-east": space(), "eu-west": space()}, Router: space()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	socket = filepath.Join(t.TempDir(), "s")
	l, err := listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, l, w) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w, socket
}

// ctl runs the command with arguments.
func ctl(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := command(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func TestARunningNetworkIsChangedAndShown(t *testing.T) {
	w, socket := running(t)
	if _, err := ctl("set", "--socket", socket, "us-east>eu-west loss 20% burst 4"); err != nil {
		t.Fatal(err)
	}
	if s, _ := w.Settings("us-east", "eu-west"); s.Loss != 0.2 || s.Burst != 4 {
		t.Errorf("%+v", s)
	}
	out, err := ctl("stats", "--socket", socket)
	if err != nil || !strings.Contains(out, "us-east->eu-west  32ms   0s      20%") {
		t.Errorf("%v\n%s", err, out)
	}
	for change, want := range map[string]string{
		"us-east>mars down":             "no such direction",
		"us-east>eu-west sideways":      "is none of",
		strings.Repeat("x", maxLine+10): "want a direction",
	} {
		if _, err := ctl("set", "--socket", socket, change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", change, err, want)
		}
	}
}

func TestTheSocketBelongsToOneNetworkAndItsOwner(t *testing.T) {
	_, socket := running(t)
	if l, err := listen(socket); err == nil {
		l.Close()
		t.Error("two networks answer on one socket")
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := ctl("stats", "--socket", socket+"x"); err == nil || !strings.Contains(err.Error(), "no network is running") {
		t.Error(err)
	}
}

func TestAFileThatIsNoSocketIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := listen(path); err == nil {
		l.Close()
		t.Error("a file was replaced")
	}
	if b, _ := os.ReadFile(path); string(b) != "x" {
		t.Error("the file is gone")
	}
}

func TestScriptsAreChecked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("at 2s a>b down\nat 1s a>b loss 5%\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := ctl("check", path); err != nil || out != "at 1s a>b loss 5%\nat 2s a>b down\n" {
		t.Errorf("%q %v", out, err)
	}
	if err := os.WriteFile(path, []byte("at 1s a>b sideways"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ctl("check", path); err == nil || !strings.Contains(err.Error(), path+": line 1:") {
		t.Error(err)
	}
}

func TestRegionsNameTheirSource(t *testing.T) {
	out, err := ctl("regions")
	if err != nil || !strings.Contains(out, wan.RegionSource) || !strings.Contains(out, "sao-paulo") {
		t.Errorf("%v\n%s", err, out)
	}
}
