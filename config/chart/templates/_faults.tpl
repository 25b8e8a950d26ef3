{{/*
Every fault of the values that the schema cannot see, a line each: what is wrong
and what to do. templates/faults.yaml fails with all of them at once.
*/}}
{{- define "causeway.faults" -}}
{{ include "causeway.faults.cluster" . }}
{{ include "causeway.faults.labels" . }}
{{ include "causeway.faults.replicas" . }}
{{ include "causeway.faults.expose" . }}
{{ if .Values.meshFederation.create }}{{ include "causeway.faults.federation" . }}{{ end }}
{{- end }}

{{- define "causeway.faults.cluster" -}}
{{- if ne .Release.Namespace "causeway-system" }}
the namespace is {{ .Release.Namespace }}: Causeway runs in causeway-system only; run helm with --namespace causeway-system --create-namespace
{{- end }}
{{- if and .Values.certManager.check (not (.Capabilities.APIVersions.Has "cert-manager.io/v1")) }}
cert-manager is missing (the API server does not know cert-manager.io/v1): install it first, see https://cert-manager.io/docs/installation; for `helm template`, set certManager.check=false
{{- end }}
{{- end }}

{{- define "causeway.faults.labels" -}}
{{- range $key, $_ := .Values.commonLabels }}
{{- if hasPrefix "app.kubernetes.io/" $key }}
commonLabels names {{ $key }}: the chart and its selectors set the labels of app.kubernetes.io; remove it
{{- end }}
{{- end }}
{{- end }}

{{/* Not empty where an address ends in a port that cannot be. */}}
{{- define "causeway.badPort" -}}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" -}}
{{- if and $port (or (lt (atoi $port) 1) (gt (atoi $port) 65535)) }}bad{{ end -}}
{{- end }}

{{- define "causeway.faults.replicas" -}}
{{- if lt (int .Values.operator.replicas) 1 }}
operator.replicas is {{ .Values.operator.replicas }}: set 1 or more, 2 to survive the loss of a node
{{- end }}
{{- if or (lt (int .Values.gateway.replicas) 1) (gt (int .Values.gateway.replicas) 16) }}
gateway.replicas is {{ .Values.gateway.replicas }}: set 1 to 16, 2 to survive the loss of a node
{{- end }}
{{- end }}

{{- define "causeway.faults.expose" -}}
{{- $expose := .Values.gateway.expose -}}
{{- $replicas := int .Values.gateway.replicas -}}
{{- if $expose.nodePorts }}
{{- if ne $expose.type "NodePort" }}
gateway.expose.nodePorts is set and gateway.expose.type is {{ $expose.type }}: set the type to NodePort, or remove nodePorts
{{- else if lt (len $expose.nodePorts) $replicas }}
gateway.expose.nodePorts has {{ len $expose.nodePorts }} ports for {{ $replicas }} replicas: give one for each replica, or none
{{- else if ne (len $expose.nodePorts) (len (uniq $expose.nodePorts)) }}
gateway.expose.nodePorts names a port twice: each replica needs its own
{{- end }}
{{- end }}
{{- if and (eq $expose.type "HostPort") (hasKey .Values.gateway.affinity "podAntiAffinity") }}
gateway.affinity.podAntiAffinity cannot be set with gateway.expose.type HostPort: the chart sets it, so that no two gateways want the same port of a node; remove yours, or choose another type
{{- end }}
{{- if and (ne $expose.type "LoadBalancer") (or $expose.loadBalancerClass $expose.loadBalancerSourceRanges) }}
gateway.expose.loadBalancerClass or loadBalancerSourceRanges is set and gateway.expose.type is {{ $expose.type }}: set the type to LoadBalancer, or remove them
{{- end }}
{{- with $expose.addresses }}
{{- if not $.Values.meshFederation.create }}
gateway.expose.addresses is set and meshFederation.create is false: write them into your MeshFederation's spec.gateway.addresses instead
{{- end }}
{{- if ne (len .) $replicas }}
gateway.expose.addresses has {{ len . }} addresses for {{ $replicas }} replicas: give exactly one for each replica, in order
{{- else if ne (len .) (len (uniq .)) }}
gateway.expose.addresses names an address twice: each replica needs its own, since peers connect to each one
{{- end }}
{{- range . }}
{{- if not (regexMatch "^([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$" .) }}
gateway.expose.addresses: {{ . | quote }} is no address: write host or host:port, an IPv6 address in brackets
{{- else if include "causeway.badPort" . }}
gateway.expose.addresses: {{ . | quote }} has no port that exists: 1 to 65535
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "causeway.faults.federation" -}}
{{- if not .Values.federation.name }}
federation.name is missing: set the name that all members share, for example --set federation.name=demo
{{- end }}
{{- if not .Values.cluster.name }}
cluster.name is missing: set a name that no other member has, for example --set cluster.name=eu-west
{{- end }}
{{- if not .Values.cluster.region }}
cluster.region is missing: set the region this cluster stands in; routing policies order regions
{{- end }}
{{- if not .Values.trustDomain }}
trustDomain is missing: set the SPIFFE trust domain that your issuer issues for, for example mesh.example.org
{{- end }}
{{- if not .Values.issuerRef.name }}
issuerRef.name is missing: name the cert-manager issuer of this cluster's identities
{{- end }}
{{- with .Values.issuerRef }}
{{- if and (eq .group "cert-manager.io") (not (has (default "ClusterIssuer" .kind) (list "Issuer" "ClusterIssuer"))) }}
issuerRef.kind is {{ .kind }}: cert-manager.io has Issuer and ClusterIssuer; for an external issuer set issuerRef.group too
{{- end }}
{{- end }}
{{- if not .Values.policyStore.secretName }}
policyStore.secretName is missing: name the Secret in causeway-system that holds ca.crt, tls.crt and tls.key for the store
{{- end }}
{{- if not .Values.policyStore.endpoints }}
policyStore.endpoints is empty: give the etcd members' URLs, for example --set 'policyStore.endpoints={https://10.40.0.1:2379}'
{{- end }}
{{- range .Values.policyStore.endpoints }}
{{- if not (regexMatch "^https://([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$" .) }}
policyStore.endpoints: {{ . | quote }} cannot be used: write https://host:port; plain http is refused because members tell each other there whom to trust
{{- else if include "causeway.badPort" . }}
policyStore.endpoints: {{ . | quote }} has no port that exists: 1 to 65535
{{- end }}
{{- end }}
{{- range .Values.seeds }}
{{- if eq .cluster $.Values.cluster.name }}
seeds names this cluster itself ({{ .cluster }}): seeds are other members; remove the entry
{{- end }}
{{- end }}
{{- end }}
