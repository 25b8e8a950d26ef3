package v1alpha1

// Annotations, labels and names that Causeway reads or writes. They are part of
// the API: renaming one breaks clusters that run an older version.
const (
	// AnnotationEgressPorts, on a ServiceImport, keeps the egress ports that the
	// leader allotted: "80=20001,443=20002". Users should not change it; a value
	// that cannot be read is replaced by a new allotment, with an event.
	AnnotationEgressPorts = GroupName + "/egress-ports"

	// AnnotationEarlyData, on a ServiceExport, with the value "Allow", permits the
	// client's first bytes to be sent before a remote endpoint accepted, and to be
	// sent again elsewhere after a failure. Any other value means no.
	AnnotationEarlyData = GroupName + "/early-data"

	// EarlyDataAllow is the one value of AnnotationEarlyData with an effect.
	EarlyDataAllow = "Allow"

	// AnnotationEndpointWeight, on a ServiceExport, is the capacity of one ready endpoint
	// in units that the federation's clusters agree on: a whole number from 1 to 10000.
	// The export's capacity is the sum over the ready ones. Default 1: endpoints count
	// alike. What cannot be read changes nothing; the condition CapacityValid tells.
	AnnotationEndpointWeight = GroupName + "/endpoint-weight"

	// AnnotationEndpointConnections, on a ServiceExport, is how many connections one
	// endpoint bears at a time: a whole number from 1 to 1000000. Without it the load of
	// the export is unknown, and unknown load never sheds. What cannot be read changes
	// nothing; the condition CapacityValid tells.
	AnnotationEndpointConnections = GroupName + "/endpoint-connections"

	// AnnotationRolloutHold, on a RoutingPolicy, with the value "true", lets no further
	// wave of its rollout begin; what holds stays. `causewayctl rollout pause` sets it.
	AnnotationRolloutHold = GroupName + "/rollout-hold"

	// AnnotationRolloutUndo, on a RoutingPolicy, "<from>/<to>", brings generation <to> of
	// its history into force everywhere at once, for as long as <from> is the object's
	// metadata.generation. What is not in the history changes nothing; Accepted tells.
	// `causewayctl rollout undo` sets it.
	AnnotationRolloutUndo = GroupName + "/rollout-undo"

	// Finalizer is set on MeshFederation, ServiceExport and RoutingPolicy, so that
	// what was published is withdrawn before the object goes.
	Finalizer = GroupName + "/withdraw"

	// LabelManagedBy marks every object that Causeway created. Objects of the same
	// name without it belong to somebody else and are left alone.
	LabelManagedBy = "app.kubernetes.io/managed-by"

	// ManagedBy is the value of LabelManagedBy, and of
	// endpointslice.kubernetes.io/managed-by.
	ManagedBy = "causeway.dev"

	// LabelGatewayInstance, on a Service in SystemNamespace, says that the Service
	// exposes the gateway replica of that name to other clusters: a LoadBalancer with
	// its own address, a NodePort with that of the replica's node.
	LabelGatewayInstance = GroupName + "/gateway-instance"

	// LabelOrigin, on an EffectivePolicy, names the cluster that authored it.
	LabelOrigin = GroupName + "/origin"

	// SystemNamespace is where Causeway's own objects live.
	SystemNamespace = "causeway-system"

	// CertificateOperator and CertificateGateway name the cert-manager Certificates,
	// and the Secrets they fill, of the two roles.
	CertificateOperator = "causeway-operator"
	CertificateGateway  = "causeway-gateway"
)

// Egress ports are allotted from this range, one per imported service port and
// the same on every gateway of a cluster: at most 10,000 imported service ports.
// It lies below the ephemeral range that Linux uses (32768 and up).
const (
	EgressPortMin = 20000
	EgressPortMax = 29999
)
