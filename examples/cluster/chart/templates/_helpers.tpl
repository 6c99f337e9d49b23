{{- define "hearken.labels" -}}
app.kubernetes.io/name: hearken
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hearken.image" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "hearken.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "hearken.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "hearken.nats.arguments" -}}
- --nats
- {{ .Values.nats.url | quote }}
{{- if .Values.nats.credentialsSecret }}
- --nats-creds
- /run/nats/creds
{{- end }}
{{- end }}

{{- define "hearken.nats.mount" -}}
{{- if .Values.nats.credentialsSecret }}
- {name: nats, mountPath: /run/nats, readOnly: true}
{{- end }}
{{- end }}

{{- define "hearken.nats.volume" -}}
{{- if .Values.nats.credentialsSecret }}
- name: nats
  secret:
    secretName: {{ .Values.nats.credentialsSecret }}
    items: [{key: creds, path: creds}]
{{- end }}
{{- end }}
