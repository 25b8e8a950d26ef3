package export

import "sigs.k8s.io/controller-runtime/pkg/controller"

// options lets the controller run on standbys too: it feeds their engines.
func options() controller.Options {
	everywhere := false
	return controller.Options{NeedLeaderElection: &everywhere, MaxConcurrentReconciles: 4}
}
