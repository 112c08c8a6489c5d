{{/* Who the processes are, and what they may do. */}}
{{- define "cashgate.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "cashgate.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "cashgate.gatewayImage" -}}
{{- if eq .Values.hsm.from "softhsm" -}}
{{- include "cashgate.image" (dict "image" .Values.hsm.softhsm.image "tag" (printf "%s-trial" .Chart.AppVersion)) -}}
{{- else -}}
{{- include "cashgate.image" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* What a gateway mounts beside its ledger: configuration, certificates, PINs, the PKCS#11 module. Nothing else in the release has them. */}}
{{- define "cashgate.mounts" -}}
- {name: config, mountPath: /etc/cashgate/config, readOnly: true}
- {name: tls, mountPath: /etc/cashgate/tls, readOnly: true}
{{- range $at, $slot := .Values.hsm.slots }}
- {name: pin-{{ $at }}, mountPath: /etc/cashgate/pins/{{ $at }}, readOnly: true}
{{- end }}
{{- if or .Values.tls.peerAuthorities.existingConfigMap .Values.tls.peerAuthorities.existingSecret }}
- {name: peer-authorities, mountPath: /etc/cashgate/peer-authorities, readOnly: true}
{{- end }}
{{- if or .Values.tls.crl.existingConfigMap .Values.tls.crl.existingSecret }}
- {name: crl, mountPath: /etc/cashgate/crl, readOnly: true}
{{- end }}
{{- if or .Values.policy.files .Values.policy.existingConfigMap }}
- {name: policies, mountPath: /etc/cashgate/policies, readOnly: true}
{{- end }}
{{- if or .Values.policy.shadow.files .Values.policy.shadow.existingConfigMap }}
- {name: shadow-policies, mountPath: /etc/cashgate/shadow-policies, readOnly: true}
{{- end }}
{{- if eq .Values.hsm.from "initImage" }}
- {name: hsm-module, mountPath: {{ .Values.hsm.initImage.mountPath }}, readOnly: true}
{{- end }}
{{- if eq .Values.hsm.from "volume" }}
- {name: hsm-module, mountPath: {{ .Values.hsm.volume.mountPath }}, readOnly: true}
{{- end }}
{{- if eq .Values.hsm.from "sidecar" }}
- {name: p11-kit, mountPath: /run/p11-kit}
{{- end }}
{{- include "cashgate.mounts.database" . }}
{{- include "cashgate.mounts.replicas" . }}
- {name: tmp, mountPath: /tmp}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "cashgate.volumes" -}}
- name: config
  configMap:
    name: {{ include "cashgate.fullname" .root }}
    defaultMode: 0444
- name: tls
  secret:
    secretName: {{ include "cashgate.tlsSecret" .root }}
    defaultMode: 0440
{{- range $at, $slot := .root.Values.hsm.slots }}
- name: pin-{{ $at }}
  secret:
    secretName: {{ $slot.pin.existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ $slot.pin.key }}, path: {{ $slot.pin.key }}}
{{- end }}
{{- include "cashgate.volumes.files" (dict "name" "peer-authorities" "from" .root.Values.tls.peerAuthorities) }}
{{- include "cashgate.volumes.files" (dict "name" "crl" "from" .root.Values.tls.crl) }}
{{- include "cashgate.volumes.policies" (dict "root" .root "name" "policies" "from" .root.Values.policy) }}
{{- include "cashgate.volumes.policies" (dict "root" .root "name" "shadow-policies" "from" .root.Values.policy.shadow) }}
{{- if eq .root.Values.hsm.from "initImage" }}
- name: hsm-module
  emptyDir: {sizeLimit: {{ .root.Values.hsm.initImage.sizeLimit }}}
{{- end }}
{{- if eq .root.Values.hsm.from "volume" }}
- name: hsm-module
  {{- toYaml .root.Values.hsm.volume.source | nindent 2 }}
{{- end }}
{{- if eq .root.Values.hsm.from "sidecar" }}
- name: p11-kit
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
{{- include "cashgate.volumes.database" . }}
{{- include "cashgate.volumes.replicas" .root }}
# Memory: an operator's key that is put here for a moment touches no disk.
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A volume of one file out of a ConfigMap or a Secret, if either is named. */}}
{{- define "cashgate.volumes.files" -}}
{{- if .from.existingConfigMap }}
- name: {{ .name }}
  configMap:
    name: {{ .from.existingConfigMap }}
    defaultMode: 0444
    items:
      - {key: {{ .from.key }}, path: {{ .from.key }}}
{{- else if .from.existingSecret }}
- name: {{ .name }}
  secret:
    secretName: {{ .from.existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ .from.key }}, path: {{ .from.key }}}
{{- end }}
{{- end -}}

{{- define "cashgate.volumes.policies" -}}
{{- if or .from.files .from.existingConfigMap }}
- name: {{ .name }}
  configMap:
    name: {{ .from.existingConfigMap | default (printf "%s-%s" (include "cashgate.fullname" .root) .name) }}
    defaultMode: 0444
{{- end }}
{{- end -}}

{{/* Brings the PKCS#11 module of another image. */}}
{{- define "cashgate.initContainers.module" -}}
{{- if eq .Values.hsm.from "initImage" }}
- name: hsm-module
  image: {{ include "cashgate.image" (dict "image" .Values.hsm.initImage.image "tag" "latest") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: {{- toYaml .Values.hsm.initImage.command | nindent 4 }}
  securityContext: {{- include "cashgate.securityContext" . | nindent 4 }}
  resources: {{- toYaml .Values.hsm.initImage.resources | nindent 4 }}
  volumeMounts:
    - {name: hsm-module, mountPath: {{ .Values.hsm.initImage.mountPath }}}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- end -}}

{{/* What runs before the gateway, and beside it. */}}
{{- define "cashgate.initContainers" -}}
{{- include "cashgate.initContainers.module" . }}
{{- if eq .Values.hsm.from "sidecar" }}
# A native sidecar: it is there before the gateway starts, and goes after the gateway has stopped.
- name: pkcs11
  image: {{ include "cashgate.image" (dict "image" .Values.hsm.sidecar.image "tag" "latest") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  command: {{- toYaml .Values.hsm.sidecar.command | nindent 4 }}
  {{- with .Values.hsm.sidecar.env }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  startupProbe:
    exec: {command: {{ toJson .Values.hsm.sidecar.startupCommand }}}
    periodSeconds: 1
    failureThreshold: 60
  securityContext: {{- include "cashgate.securityContext" . | nindent 4 }}
  resources: {{- toYaml .Values.hsm.sidecar.resources | nindent 4 }}
  volumeMounts:
    - {name: p11-kit, mountPath: /run/p11-kit}
    - {name: tmp, mountPath: /tmp}
    {{- with .Values.hsm.sidecar.volumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- if eq .Values.hsm.from "softhsm" }}
{{- $slot := first .Values.hsm.slots }}
# For trials only: makes the HSM token and the signing key on the ledger's disk, if they are not there yet.
- name: softhsm-keys
  image: {{ include "cashgate.gatewayImage" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -euc]
  args:
    - |
      mkdir -p /var/lib/cashgate/softhsm
      keys() { create-keys.sh --module {{ .Values.hsm.module }} --token-label {{ $slot.tokenLabel | squote }} --pin-file /run/softhsm/pin "$@"; }
      keys --show {{ .Values.config.hsm.signing_key_label | squote }} 2>/dev/null ||
        keys --so-pin-file /run/softhsm/so-pin --key-label {{ .Values.config.hsm.signing_key_label | squote }}
  env:
    - {name: SOFTHSM2_CONF, value: /etc/cashgate/config/softhsm2.conf}
  securityContext: {{- include "cashgate.securityContext" . | nindent 4 }}
  resources: {{- toYaml .Values.hsm.softhsm.resources | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/cashgate/config, readOnly: true}
    - {name: softhsm-pins, mountPath: /run/softhsm, readOnly: true}
    - {name: data, mountPath: /var/lib/cashgate}
    - {name: tmp, mountPath: /tmp}
{{- end }}
{{- with .Values.extraInitContainers }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where pods may run. */}}
{{- define "cashgate.scheduling" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Seconds that a gateway waits, still serving, between "it goes" and SIGTERM, until no new connection is sent to it. With one gateway there is
     nobody else to send them to. */}}
{{- define "cashgate.preStopSleep" -}}
{{- if kindIs "invalid" .Values.preStopSleepSeconds -}}
{{- ternary 0 5 (eq .Values.mode "embedded") -}}
{{- else -}}
{{- int .Values.preStopSleepSeconds -}}
{{- end -}}
{{- end -}}

{{/* What a stop may take at most: the sleep, timing.drain_s, 5 s for connections, two deadlines of an HSM call and 5 s until its module is closed,
     and 10 s for the last traces and the ledger. */}}
{{- define "cashgate.gracePeriodMin" -}}
{{- $timing := .Values.config.timing | default dict -}}
{{- $hsm := .Values.config.hsm | default dict -}}
{{- $drain := $timing.drain_s | default (ternary 0 60 (hasKey $timing "drain_s")) -}}
{{- $calls := divf (mulf 2 ($hsm.call_deadline_ms | default 2000)) 1000 | ceil -}}
{{- add (include "cashgate.preStopSleep" . | int) (int $drain) (int $calls) 20 -}}
{{- end -}}

{{- define "cashgate.gracePeriod" -}}
{{- .Values.terminationGracePeriodSeconds | default (include "cashgate.gracePeriodMin" .) | int -}}
{{- end -}}

{{/* Two replicas on one machine die together. */}}
{{- define "cashgate.affinity" -}}
{{- if .Values.affinity -}}
{{- toYaml .Values.affinity -}}
{{- else if eq .Values.mode "replicated" -}}
podAntiAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels: {{- include "cashgate.selector" (dict "root" . "component" "gateway") | nindent 10 }}
{{- end -}}
{{- end -}}

{{- define "cashgate.spread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else if eq .Values.mode "replicated" -}}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "cashgate.selector" (dict "root" . "component" "gateway") | nindent 6 }}
{{- end -}}
{{- end -}}
