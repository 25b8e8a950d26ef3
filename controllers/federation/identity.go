package federation

import (
	"context"
	"fmt"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/identity"
)

// identity sees to the two certificates and reads the operator's into s. With a
// missing issuer the Secrets that an earlier one filled stay in use.
func (c *Controller) identity(ctx context.Context, f *api.MeshFederation, s *engine.Settings) (finding, error) {
	result, err := c.issuer(ctx, f)
	if err != nil {
		return finding{}, err
	}
	if result.ok {
		if result, err = c.certificates(ctx, f, s); err != nil {
			return finding{}, err
		}
	}
	var secret corev1.Secret
	err = c.reader.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: api.CertificateOperator}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return finding{}, err
	}
	if err != nil || len(secret.Data["tls.crt"]) == 0 {
		return result, nil
	}
	probe := identity.NewSource()
	if err := probe.SetKeyPair(secret.Data["tls.crt"], secret.Data["tls.key"]); err != nil {
		return finding{reason: api.ReasonIdentityInvalid, message: fmt.Sprintf("Secret %s/%s: %v", c.namespace, secret.Name, err)}, nil
	}
	if want := c.id(s, identity.RoleOperator); want != own(probe) {
		return finding{reason: api.ReasonCertificateNotReady, message: fmt.Sprintf(
			"Secret %s/%s still holds a certificate for %s: waiting for one for %s", c.namespace, secret.Name, own(probe), want)}, nil
	}
	if err := probe.SetBundle(s.TrustDomain, secret.Data["ca.crt"]); err != nil {
		return finding{reason: api.ReasonIdentityInvalid, message: fmt.Sprintf(
			"Secret %s/%s: ca.crt: %v: the issuer must publish its root there", c.namespace, secret.Name, err)}, nil
	}
	trust(s, s.TrustDomain, secret.Data["ca.crt"])
	s.CertPEM, s.KeyPEM = secret.Data["tls.crt"], secret.Data["tls.key"]
	return result, nil
}

func own(s *identity.Source) identity.ID {
	id, _, _ := s.Own()
	return id
}

func (c *Controller) id(s *engine.Settings, role identity.Role) identity.ID {
	return identity.ID{TrustDomain: s.TrustDomain, Federation: s.Federation, Cluster: s.Cluster, Role: role}
}

// issuer says whether the issuer that the spec names is there and ready.
func (c *Controller) issuer(ctx context.Context, f *api.MeshFederation) (finding, error) {
	ref := f.Spec.IssuerRef
	if ref.Group != "" && ref.Group != certmanager.SchemeGroupVersion.Group {
		return finding{ok: true}, nil // an external issuer: its Certificates speak for it
	}
	var conditions []certmanager.IssuerCondition
	var err error
	where := "ClusterIssuer " + ref.Name
	if ref.Kind == certmanager.IssuerKind {
		where = fmt.Sprintf("Issuer %s/%s", c.namespace, ref.Name)
		var i certmanager.Issuer
		err = c.reader.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: ref.Name}, &i)
		conditions = i.Status.Conditions
	} else {
		var i certmanager.ClusterIssuer
		err = c.reader.Get(ctx, types.NamespacedName{Name: ref.Name}, &i)
		conditions = i.Status.Conditions
	}
	switch {
	case meta.IsNoMatchError(err):
		return finding{reason: api.ReasonCertManagerMissing, message: "this cluster does not know cert-manager's kinds: install cert-manager first"}, nil
	case apierrors.IsNotFound(err):
		return finding{reason: api.ReasonIssuerNotFound, message: where + " does not exist: create it, or fix spec.issuerRef; an identity issued earlier stays in use"}, nil
	case err != nil:
		return finding{}, err
	}
	for _, one := range conditions {
		if one.Type == certmanager.IssuerConditionReady && one.Status == cmmeta.ConditionTrue {
			return finding{ok: true}, nil
		}
		if one.Type == certmanager.IssuerConditionReady {
			return finding{reason: api.ReasonIssuerNotReady, message: where + " is not ready: " + one.Message}, nil
		}
	}
	return finding{reason: api.ReasonIssuerNotReady, message: where + " has not been looked at by cert-manager yet: are its controllers running?"}, nil
}

// certificates creates or updates both and says whether they are issued.
func (c *Controller) certificates(ctx context.Context, f *api.MeshFederation, s *engine.Settings) (finding, error) {
	result := finding{ok: true, reason: api.ReasonIssued, message: "certificates of operator and gateways are issued"}
	for name, role := range map[string]identity.Role{api.CertificateOperator: identity.RoleOperator, api.CertificateGateway: identity.RoleGateway} {
		want := c.certificate(f, name, c.id(s, role))
		var have certmanager.Certificate
		err := c.reader.Get(ctx, client.ObjectKeyFromObject(want), &have)
		switch {
		case apierrors.IsNotFound(err):
			if err := c.client.Create(ctx, want); err != nil {
				return finding{}, err
			}
			have = *want
		case err != nil:
			return finding{}, err
		case !equality.Semantic.DeepEqual(have.Spec, want.Spec):
			before := have.DeepCopy()
			have.Spec = want.Spec
			if err := c.client.Patch(ctx, &have, client.MergeFrom(before)); err != nil {
				return finding{}, err
			}
		}
		if ready, why := issued(&have); !ready {
			result = finding{reason: api.ReasonCertificateNotReady, message: fmt.Sprintf("Certificate %s/%s: %s", c.namespace, name, why)}
		}
	}
	return result, nil
}

func (c *Controller) certificate(f *api.MeshFederation, name string, id identity.ID) *certmanager.Certificate {
	ref := f.Spec.IssuerRef
	duration, before := f.Spec.Identity.Duration, f.Spec.Identity.RenewBefore
	if duration == nil {
		duration = &metav1.Duration{Duration: 24 * time.Hour}
	}
	if before == nil {
		before = &metav1.Duration{Duration: 8 * time.Hour}
	}
	return &certmanager.Certificate{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.namespace, Name: name, Labels: map[string]string{api.LabelManagedBy: api.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(f, api.GroupVersion.WithKind("MeshFederation"))},
		},
		Spec: certmanager.CertificateSpec{
			SecretName: name, URIs: []string{id.String()}, Duration: duration, RenewBefore: before,
			IssuerRef:  cmmeta.IssuerReference{Name: ref.Name, Kind: ref.Kind, Group: ref.Group},
			Usages:     []certmanager.KeyUsage{certmanager.UsageDigitalSignature, certmanager.UsageServerAuth, certmanager.UsageClientAuth},
			PrivateKey: &certmanager.CertificatePrivateKey{Algorithm: certmanager.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: certmanager.RotationPolicyAlways},
		},
	}
}

func issued(cert *certmanager.Certificate) (bool, string) {
	for _, one := range cert.Status.Conditions {
		if one.Type == certmanager.CertificateConditionReady {
			return one.Status == cmmeta.ConditionTrue, one.Message
		}
	}
	return false, "cert-manager has not looked at it yet"
}
