package v1alpha1

// Reasons that Causeway adds to the conditions of the MCS kinds; all others are
// mcs-api's own constants.
const (
	// ConditionProtocolsSupported, on a ServiceExport, is a warning: False names
	// ports that are not exported. The TCP ports of the same service still are.
	// True: TCPOnly. False: UnsupportedProtocol.
	ConditionProtocolsSupported = GroupName + "/ProtocolsSupported"

	// ConditionCapacityValid, on a ServiceExport, is a warning: False names an annotation
	// on the capacity of its endpoints that cannot be read, and the value that stays in
	// force: the last one that this operator could read, or the default. The export is
	// published all the same.
	// True: CapacityDefault, CapacityStated. False: InvalidAnnotation.
	ConditionCapacityValid = GroupName + "/CapacityValid"

	// ReasonCapacityDefault: nothing is stated; each endpoint weighs 1, and the load is unknown.
	ReasonCapacityDefault = "CapacityDefault"
	// ReasonCapacityStated: what the annotations state is in force.
	ReasonCapacityStated = "CapacityStated"
	// ReasonInvalidAnnotation: an annotation is out of its bounds, or no number.
	ReasonInvalidAnnotation = "InvalidAnnotation"

	// ReasonTCPOnly: every port of the service is exported.
	ReasonTCPOnly = "TCPOnly"
	// ReasonUnsupportedProtocol: Causeway carries TCP. Of Valid when no TCP port is left.
	ReasonUnsupportedProtocol = "UnsupportedProtocol"
	// ReasonUnsupported, of Ready on exports and imports: headless services cannot be
	// reached from other clusters yet.
	ReasonUnsupported = "Unsupported"

	// ReasonEgressPortUnavailable, of Ready on a ServiceImport: a gateway could not
	// open the port allotted; the message names gateway, port and cause.
	ReasonEgressPortUnavailable = "EgressPortUnavailable"
	// ReasonEgressPortsExhausted, of Ready on a ServiceImport: all 10,000 egress ports
	// are taken. Imports that have theirs are not touched.
	ReasonEgressPortsExhausted = "EgressPortsExhausted"
	// ReasonNotManaged, of Ready on a ServiceImport or in an event: an object of this
	// name exists that Causeway did not create; it is left alone.
	ReasonNotManaged = "NotManaged"
)
