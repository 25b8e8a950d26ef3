package wan

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
)

// exemptions are the iptables rules that let packets between sites pass Docker's own,
// without the verb that adds or deletes them: Docker drops what it does not know and
// masquerades what leaves a bridge.
func exemptions(device string, sites map[Site]netip.Prefix) [][]string {
	out := [][]string{{"DOCKER-USER", "-i", device, "-j", "ACCEPT"}}
	for from, a := range sites {
		for to, b := range sites {
			if from != to {
				out = append(out, []string{"POSTROUTING", "-t", "nat", "-s", a.String(), "-d", b.String(), "-j", "ACCEPT"})
			}
		}
	}
	return out
}

func (w *WAN) firewall(device string, in inside) error {
	for _, rule := range exemptions(device, w.cfg.Sites) {
		if err := iptables(append([]string{"-I"}, rule...)); err != nil {
			return err
		}
		w.undo = append(w.undo, func() {
			_ = in(func() error { return iptables(append([]string{"-D"}, slices.Clone(rule)...)) })
		})
	}
	return nil
}

// iptables runs in the namespace of the calling thread, which is locked to it.
func iptables(args []string) error {
	out, err := exec.Command("iptables", append([]string{"-w", "5"}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
