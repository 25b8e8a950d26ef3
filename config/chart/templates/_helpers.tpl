{{/* Labels of every object. Nothing here may go into a selector. */}}
{{- define "causeway.labels" -}}
app.kubernetes.io/part-of: causeway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of one process's objects: dict "root" . "name" "operator" */}}
{{- define "causeway.componentLabels" -}}
app.kubernetes.io/name: causeway-{{ .name }}
app.kubernetes.io/component: {{ .name }}
{{ include "causeway.labels" .root }}
{{- end }}

{{- define "causeway.image" -}}
{{ .root.Values.image.repository }}/causeway-{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* Nine tenths of a memory limit in bytes, or nothing where it is no whole number of Ki, Mi or Gi. */}}
{{- define "causeway.goMemLimit" -}}
{{- $unit := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 -}}
{{- $text := dig "limits" "memory" "" . | toString -}}
{{- if regexMatch "^[0-9]+(Ki|Mi|Gi)$" $text -}}
{{- $n := regexFind "^[0-9]+" $text | int64 -}}
{{- div (mul $n (get $unit (regexFind "[KMG]i$" $text)) 9) 10 -}}
{{- end -}}
{{- end }}

{{/* What both kinds of pod share: who they run as, where they may run. */}}
{{- define "causeway.podSpec" -}}
{{- $own := get .root.Values .name -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity | default $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        app.kubernetes.io/name: causeway-{{ $.name }}
{{- end }}
{{- end }}

{{- define "causeway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Environment from the pod itself, for the flags' defaults. */}}
{{- define "causeway.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- with include "causeway.goMemLimit" .resources }}
- name: GOMEMLIMIT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "causeway.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
