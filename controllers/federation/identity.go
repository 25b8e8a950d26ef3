package federation

import (
	"cmp"
	"context"
	"errors"
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
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

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
	secret, fault, err := c.operatorSecret(ctx, c.id(s, identity.RoleOperator))
	if err != nil {
		return finding{}, err
	}
	if fault.reason == "" {
		c.kept.identity = &secret
	}
	if kept := c.kept.identity; kept != nil && kept.id == c.id(s, identity.RoleOperator) {
		trust(s, s.TrustDomain, kept.ca)
		s.CertPEM, s.KeyPEM = kept.cert, kept.key
	}
	if result.ok || fault.reason == api.ReasonIdentityInvalid {
		return cmp.Or(fault, result), nil
	}
	return result, nil
}

// operatorSecret reads what cert-manager issued for the operator; fault says why it
// cannot be used.
func (c *Controller) operatorSecret(ctx context.Context, want identity.ID) (out credentials, fault finding, err error) {
	var secret corev1.Secret
	err = c.reader.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: api.CertificateOperator}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return out, finding{}, err
	}
	name := fmt.Sprintf("Secret %s/%s", c.namespace, api.CertificateOperator)
	if err != nil || len(secret.Data["tls.crt"]) == 0 {
		return out, finding{reason: api.ReasonCertificateNotReady, message: name + " holds no certificate: waiting for cert-manager to fill it"}, nil
	}
	out = credentials{id: want, ca: secret.Data["ca.crt"], cert: secret.Data["tls.crt"], key: secret.Data["tls.key"]}
	probe := identity.NewSource()
	if err := probe.SetKeyPair(out.cert, out.key); err != nil {
		return out, finding{reason: api.ReasonIdentityInvalid, message: fmt.Sprintf("%s: %v", name, err)}, nil
	}
	if has := own(probe); want != has {
		return out, finding{reason: api.ReasonCertificateNotReady, message: fmt.Sprintf(
			"%s still holds a certificate for %s: waiting for one for %s", name, has, want)}, nil
	}
	if err := probe.SetBundle(want.TrustDomain, out.ca); err != nil {
		return out, finding{reason: api.ReasonIdentityInvalid, message: fmt.Sprintf(
			"%s: ca.crt: %v: the issuer must publish its root there", name, err)}, nil
	}
	return out, finding{}, nil
}

func certManagerMissing() finding {
	return finding{reason: api.ReasonCertManagerMissing, message: "this cluster does not know cert-manager's kinds: install cert-manager; an identity issued earlier stays in use"}
}

// unknownKind tells a kind that the API server does not know from an object that
// it does not have: the client never found the kind, or knew it once and now gets
// a 404 that no resource's handler wrote.
func unknownKind(err error) bool {
	var discovery *apiutil.ErrResourceDiscoveryFailed
	if meta.IsNoMatchError(err) || errors.As(err, &discovery) {
		return true
	}
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
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
	if ref.Kind != "" && ref.Kind != certmanager.IssuerKind && ref.Kind != certmanager.ClusterIssuerKind {
		return finding{reason: api.ReasonIssuerNotFound, message: fmt.Sprintf(
			"spec.issuerRef.kind is %s: cert-manager.io has Issuer and ClusterIssuer; for an external issuer set spec.issuerRef.group; an identity issued earlier stays in use", ref.Kind)}, nil
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
	case unknownKind(err):
		return certManagerMissing(), nil
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
		case unknownKind(err):
			return certManagerMissing(), nil
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
