package federation

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// settings translates the spec; Secrets come in later steps.
func (c *Controller) settings(ctx context.Context, f *api.MeshFederation) (engine.Settings, error) {
	instance, err := c.instance(ctx)
	if err != nil {
		return engine.Settings{}, err
	}
	s := engine.Settings{
		Federation: f.Spec.Federation, Cluster: federation.ClusterName(f.Spec.Cluster.Name), Region: federation.Region(f.Spec.Cluster.Region),
		Zone: federation.Zone(f.Spec.Cluster.Zone), Jurisdiction: federation.Jurisdiction(f.Spec.Cluster.Jurisdiction),
		TrustDomain: federation.TrustDomain(f.Spec.TrustDomain), InstanceID: instance, Bundles: map[federation.TrustDomain][]byte{},
		AcceptUnsigned: f.Spec.PolicyStore.UnsignedValues == api.UnsignedAccept,
	}
	for _, e := range f.Spec.PolicyStore.Endpoints {
		s.StoreEndpoints = append(s.StoreEndpoints, string(e))
	}
	for _, a := range f.Spec.Gateway.Addresses {
		s.GatewayAddresses = append(s.GatewayAddresses, federation.GatewayAddress{Instance: a.Instance, Address: withPort(string(a.Address), f.Spec.Gateway.Port)})
	}
	for _, b := range f.Spec.TrustBundles {
		trust(&s, federation.TrustDomain(b.TrustDomain), []byte(b.PEM))
	}
	for _, seed := range f.Spec.Seeds {
		one := engine.Seed{Cluster: federation.ClusterName(seed.Cluster), TrustDomain: federation.TrustDomain(seed.TrustDomain)}
		for _, a := range seed.Addresses {
			one.Addresses = append(one.Addresses, withPort(string(a), f.Spec.Gateway.Port))
		}
		s.Seeds = append(s.Seeds, one)
		if seed.Bundle != "" {
			td := one.TrustDomain
			if td == "" {
				td = s.TrustDomain
			}
			trust(&s, td, []byte(seed.Bundle))
		}
	}
	return s, nil
}

// trust adds certificates to a trust domain's bundle.
func trust(s *engine.Settings, td federation.TrustDomain, pem []byte) {
	pem = append(bytes.TrimSpace(pem), '\n')
	if !bytes.Contains(s.Bundles[td], pem) {
		s.Bundles[td] = append(s.Bundles[td], pem...)
	}
}

func withPort(address string, port int32) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	if port == 0 {
		port = 15443
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), strconv.Itoa(int(port)))
}

// store puts the way into the policy store into s: that of the spec, or else the
// last one that could be used. An empty finding means that the engine's own word
// counts.
func (c *Controller) store(ctx context.Context, f *api.MeshFederation, s *engine.Settings) (finding, error) {
	secret, fault, err := c.storeSecret(ctx, f)
	if err != nil {
		return finding{}, err
	}
	if fault.reason == "" {
		c.kept.store = &access{endpoints: s.StoreEndpoints, credentials: secret}
	}
	if c.kept.store != nil {
		c.kept.store.use(s)
	}
	if fault.reason != "" && c.kept.store != nil {
		fault.message += "; what worked before stays in use"
	}
	return fault, nil
}

// storeSecret reads the client certificate of the policy store; fault says why it
// cannot be used.
func (c *Controller) storeSecret(ctx context.Context, f *api.MeshFederation) (out credentials, fault finding, err error) {
	name := f.Spec.PolicyStore.TLSSecretRef.Name
	var secret corev1.Secret
	err = c.reader.Get(ctx, types.NamespacedName{Namespace: c.namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return out, finding{reason: api.ReasonSecretNotFound, message: fmt.Sprintf(
			"Secret %s/%s does not exist: create it with ca.crt, tls.crt and tls.key of the policy store, or fix spec.policyStore.tlsSecretRef", c.namespace, name)}, nil
	}
	if err != nil {
		return out, finding{}, err
	}
	ca, cert, key := secret.Data["ca.crt"], secret.Data["tls.crt"], secret.Data["tls.key"]
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return out, finding{reason: api.ReasonSecretInvalid, message: fmt.Sprintf("Secret %s/%s: tls.crt and tls.key: %v", c.namespace, name, err)}, nil
	}
	if !x509.NewCertPool().AppendCertsFromPEM(ca) {
		return out, finding{reason: api.ReasonSecretInvalid, message: fmt.Sprintf("Secret %s/%s: ca.crt holds no certificate: put the policy store's authority there", c.namespace, name)}, nil
	}
	return credentials{ca: ca, cert: cert, key: key}, finding{}, nil
}
