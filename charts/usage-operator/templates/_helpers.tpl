{{- define "usage-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- end -}}

{{/* The labels of every object, beside app.kubernetes.io/name, by which pods are found. */}}
{{- define "usage-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "usage-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The pods' template: a list of the release, the label of the pods, the container's name, its own arguments, and
what it asks for. */}}
{{- define "usage-operator.pods" -}}
{{- $ := index . 0 -}}
{{- $label := index . 1 -}}
{{- $container := index . 2 -}}
{{- $arguments := index . 3 -}}
{{- $resources := index . 4 -}}
metadata:
  annotations:
    kubectl.kubernetes.io/default-container: {{ $container }}
    # What lies in it is made anew: it does not keep a node from being drained.
    cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes: scratch
    {{- with $.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if and $.Values.extraMeters (eq $container "manager") }}
    checksum/meters: {{ toJson $.Values.extraMeters | sha256sum }}
    {{- end }}
  labels:
    app.kubernetes.io/name: {{ $label }}
    {{- with $.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "usage-operator.fullname" $ }}
  {{- with $.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- if $.Values.affinity }}
    {{- toYaml $.Values.affinity | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              app.kubernetes.io/name: {{ $label }}
    {{- end }}
  {{- if eq $container "manager" }}
  # Long enough to write what the ledger has not been written yet.
  terminationGracePeriodSeconds: 30
  {{- end }}
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  containers:
  - name: {{ $container }}
    image: {{ include "usage-operator.image" $ | quote }}
    {{- with $.Values.image.pullPolicy }}
    imagePullPolicy: {{ . }}
    {{- end }}
    args:
    {{- range $arguments }}
    - {{ . }}
    {{- end }}
    {{- range $flag, $value := $.Values.flags }}
    - {{ printf "--%s=%s" $flag (kindIs "string" $value | ternary $value (toJson $value)) | quote }}
    {{- end }}
    env:
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    {{- if and $.Values.hub.url (eq $container "manager") }}
    - name: USAGE_HUB_URL
      value: {{ $.Values.hub.url | quote }}
    {{- end }}
    {{- with $.Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    - name: metrics
      containerPort: 8443
    - name: usage-api
      containerPort: 8444
    - name: probes
      containerPort: 8081
    livenessProbe:
      httpGet:
        path: /healthz
        port: probes
      initialDelaySeconds: 15
      periodSeconds: 20
    readinessProbe:
      httpGet:
        path: /readyz
        port: probes
      periodSeconds: 10
    resources:
      {{- toYaml $resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
    - name: scratch
      mountPath: /scratch
    {{- if and $.Values.extraMeters (eq $container "manager") }}
    - name: meters
      mountPath: /etc/usage-operator/meters
      readOnly: true
    {{- end }}
    {{- if and $.Values.hub.url (eq $container "manager") }}
    - name: hub
      mountPath: /etc/usage-operator/hub
      readOnly: true
    {{- end }}
  volumes:
  # Days that are packed lie here instead of in memory, about 7 bytes a segment.
  - name: scratch
    emptyDir: {sizeLimit: 2Gi}
  {{- if and $.Values.extraMeters (eq $container "manager") }}
  - name: meters
    configMap:
      name: {{ include "usage-operator.fullname" $ }}-extra-meters
  {{- end }}
  {{- if and $.Values.hub.url (eq $container "manager") }}
  - name: hub
    secret:
      secretName: {{ $.Values.hub.secret }}
      optional: true
  {{- end }}
{{- end -}}
