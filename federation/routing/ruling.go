package routing

import "github.com/causeway-mesh/causeway/federation"

// Ruling is the policy that Compute follows for a service: the first of policies, which
// are sorted by Order, that targets it. Nil is none, so that RuleDefault holds.
func Ruling(policies []federation.Policy, svc federation.ServiceName) *federation.Policy {
	return policyFor(policies, svc)
}
