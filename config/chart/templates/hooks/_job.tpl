{{/*
Annotations of a hook's objects: dict "hook" "pre-delete" "weight" -10. They go
when the hook has succeeded; after a failure they stay for a look, until the next try.
*/}}
{{- define "causeway.hookAnnotations" -}}
helm.sh/hook: {{ .hook }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* Who a hook runs as, and its Job: dict "root" . "hook" "pre-delete" "command" "cleanup" "seconds" 60 */}}
{{- define "causeway.hookAccount" -}}
{{- $labels := include "causeway.labels" .root -}}
{{- $annotations := include "causeway.hookAnnotations" (dict "hook" .hook "weight" -10) -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: causeway-{{ .command }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: causeway-{{ .command }}
  labels:
    {{- $labels | nindent 4 }}
  annotations:
    {{- $annotations | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: causeway-{{ .command }}
subjects:
  - kind: ServiceAccount
    name: causeway-{{ .command }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}

{{- define "causeway.hookJob" -}}
{{- $name := dict "root" .root "name" "operator" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: causeway-{{ .command }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "causeway.labels" .root | nindent 4 }}
  annotations:
    {{- include "causeway.hookAnnotations" (dict "hook" .hook "weight" 0) | nindent 4 }}
spec:
  backoffLimit: 2
  activeDeadlineSeconds: {{ .seconds }}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: causeway-{{ .command }}
        app.kubernetes.io/component: hook
        {{- include "causeway.labels" .root | nindent 8 }}
    spec:
      serviceAccountName: causeway-{{ .command }}
      restartPolicy: Never
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      {{- with .root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.operator.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .root.Values.operator.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .command }}
          image: {{ include "causeway.image" $name }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: [{{ .command }}]
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            {{- toYaml .root.Values.operator.resources | nindent 12 }}
          securityContext:
            {{- include "causeway.containerSecurity" . | nindent 12 }}
{{- end }}
