{{/* The gateway's configuration as a map: what `config` says, and what the chart itself knows. */}}
{{- define "cashgate.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $host := include "cashgate.listenHost" . -}}
{{- $listen := dict "atm" (printf "%s:%d" $host (int .Values.ports.atm)) "api" (printf "%s:%d" $host (int .Values.ports.api)) "http" (printf "%s:%d" $host (int .Values.ports.http)) -}}
{{- if eq .Values.mode "replicated" -}}{{- $_ := set $listen "replica" (printf "%s:%d" $host (int .Values.ports.replica)) -}}{{- end -}}
{{- $_ := set $config "listen" $listen -}}
{{- /* To everybody outside each replica is the gateway; what it shows the others comes by its environment. */ -}}
{{- $folder := "/etc/cashgate/tls" -}}
{{- $tls := dict "certificate" (printf "%s/%s" $folder .Values.tls.keys.certificate) "key" (printf "%s/%s" $folder .Values.tls.keys.key) "ca" (printf "%s/%s" $folder .Values.tls.keys.ca) -}}
{{- if or .Values.tls.peerAuthorities.existingConfigMap .Values.tls.peerAuthorities.existingSecret -}}
{{- $_ := set $tls "ca" (printf "/etc/cashgate/peer-authorities/%s" .Values.tls.peerAuthorities.key) -}}
{{- end -}}
{{- if or .Values.tls.crl.existingConfigMap .Values.tls.crl.existingSecret -}}
{{- $_ := set $tls "crl" (printf "/etc/cashgate/crl/%s" .Values.tls.crl.key) -}}
{{- end -}}
{{- with .Values.tls.checkEverySeconds -}}{{- $_ := set $tls "check_every_s" . -}}{{- end -}}
{{- $_ := set $config "tls" $tls -}}
{{- $_ := set $config "hsm" (include "cashgate.config.hsm" . | fromYaml) -}}
{{- $policy := dict -}}
{{- if eq .Values.policy.source "ledger" -}}{{- $_ := set $policy "source" "ledger" -}}{{- end -}}
{{- with .Values.policy.checkEverySeconds -}}{{- $_ := set $policy "check_every_s" . -}}{{- end -}}
{{- if or .Values.policy.files .Values.policy.existingConfigMap -}}{{- $_ := set $policy "folder" "/etc/cashgate/policies" -}}{{- end -}}
{{- if or .Values.policy.shadow.files .Values.policy.shadow.existingConfigMap -}}{{- $_ := set $policy "shadow_folder" "/etc/cashgate/shadow-policies" -}}{{- end -}}
{{- if $policy -}}{{- $_ := set $config "policy" $policy -}}{{- end -}}
{{- $config = merge $config (include "cashgate.config.ledger" . | fromYaml) -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "cashgate.listenHost" -}}
{{- if .Values.listenHost -}}{{ .Values.listenHost }}
{{- else if has "IPv6" .Values.ipFamilies -}}[::]
{{- else -}}0.0.0.0
{{- end -}}
{{- end -}}

{{/* [hsm], with one [[hsm.slot]] a slot. Each PIN is a file of its own, read again at every login. */}}
{{- define "cashgate.config.hsm" -}}
{{- $root := . -}}
{{- $hsm := deepCopy (.Values.config.hsm | default dict) -}}
{{- $environment := deepCopy ($hsm.environment | default dict) -}}
{{- if eq .Values.hsm.from "softhsm" -}}{{- $_ := set $environment "SOFTHSM2_CONF" "/etc/cashgate/config/softhsm2.conf" -}}{{- end -}}
{{- if eq .Values.hsm.from "sidecar" -}}{{- $_ := set $environment "P11_KIT_SERVER_ADDRESS" "unix:path=/run/p11-kit/pkcs11.sock" -}}{{- end -}}
{{- if $environment -}}{{- $_ := set $hsm "environment" $environment -}}{{- end -}}
{{- $slots := list -}}
{{- range $at, $slot := .Values.hsm.slots -}}
{{- $module := $slot.module | default $root.Values.hsm.module -}}
{{- $slots = append $slots (dict "module" $module "token_label" $slot.tokenLabel "pin_file" (printf "/etc/cashgate/pins/%d/%s" $at $slot.pin.key)) -}}
{{- end -}}
{{- $_ := set $hsm "slot" $slots -}}
{{- toYaml $hsm -}}
{{- end -}}

{{/* What a change of must restart the gateway: all but what it reads again by itself (limits, grades of evidence; and policies and TLS files,
     which are other objects). */}}
{{- define "cashgate.config.restarting" -}}
{{- $config := include "cashgate.config" . | fromYaml -}}
{{- $institutions := list -}}
{{- range $config.institution -}}{{- $institutions = append $institutions (omit . "limits" "evidence_demanded") -}}{{- end -}}
{{- $_ := set $config "institution" $institutions -}}
{{- toYaml (omit $config "atm_limits") -}}
{{- end -}}

{{/* The files beside the configuration, as a ConfigMap holds them. */}}
{{- define "cashgate.configFiles" -}}
cashgate.toml: |
  # Made by Helm. Every key: {{ .Chart.Name }}'s README, values below `config`.
  {{- include "cashgate.toml" (dict "path" "" "table" (include "cashgate.config" . | fromYaml)) | nindent 2 }}
{{- if eq .Values.hsm.from "softhsm" }}
softhsm2.conf: |
  directories.tokendir = /var/lib/cashgate/softhsm
  objectstore.backend = file
  log.level = ERROR
{{- end }}
{{- end -}}
