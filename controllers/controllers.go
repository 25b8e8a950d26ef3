// Package controllers is the list of all controllers: what an operator runs.
//
// It owns the list and the scheme. Each controller has a package of its own, one
// per aspect of a kind, thin: it reads objects, calls federation/, writes status
// once.
//
// Register is called once per manager.
//
// Invariants:
//  1. Nothing outside controllers/ and cmd/ knows controller-runtime.
package controllers

import (
	"errors"
	"fmt"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/effectivepolicy"
	"github.com/causeway-mesh/causeway/controllers/export"
	"github.com/causeway-mesh/causeway/controllers/federation"
	"github.com/causeway-mesh/causeway/controllers/policy"
	"github.com/causeway-mesh/causeway/controllers/serviceimport"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// Controller is one of them.
type Controller interface {
	Name() string
	Register(ctrl.Manager) error
}

// Deps is what the controllers work with.
type Deps struct {
	Engine *engine.Engine
	// Namespace of Causeway's own objects.
	Namespace string
}

// Scheme knows every kind that a controller touches.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, api.AddToScheme, mcs.AddToScheme, certmanager.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two types of one kind: a fault of the build
		}
	}
	return s
}

// All lists the controllers for a manager.
func All(mgr ctrl.Manager, d Deps) []Controller {
	recorder, elected := mgr.GetEventRecorder("causeway-operator"), mgr.Elected()
	return []Controller{
		federation.NewController(mgr.GetClient(), mgr.GetAPIReader(), recorder, d.Engine, d.Namespace, elected),
		export.NewController(mgr.GetClient(), recorder, d.Engine, elected),
		serviceimport.NewController(mgr.GetClient(), recorder, d.Engine, elected),
		policy.NewController(mgr.GetClient(), recorder, d.Engine),
		effectivepolicy.NewController(mgr.GetClient(), d.Engine),
	}
}

// Register adds all controllers to a manager.
func Register(mgr ctrl.Manager, d Deps) error {
	var errs []error
	for _, c := range All(mgr, d) {
		if err := c.Register(mgr); err != nil {
			errs = append(errs, fmt.Errorf("controller %s: %w", c.Name(), err))
		}
	}
	return errors.Join(errs...)
}
