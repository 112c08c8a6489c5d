{{/* The replicated mode: PostgreSQL, and what makes a replica one of several. All that the gateway's configuration calls it stands in this file. */}}

{{- define "cashgate.config.ledger" -}}
{{- if eq .Values.mode "embedded" -}}
ledger:
  path: /var/lib/cashgate/ledger.db
{{- else -}}
{{- $postgres := deepCopy .Values.database.settings -}}
{{- $_ := set $postgres "dsn_file" (printf "/etc/cashgate/database/%s" .Values.database.dsn.key) -}}
{{- if include "cashgate.database.hasCa" . -}}{{- $_ := set $postgres "ca" (printf "/etc/cashgate/database-ca/%s" .Values.database.ca.key) -}}{{- end -}}
{{- if .Values.database.clientCertificate.existingSecret -}}
{{- $_ := set $postgres "certificate" "/etc/cashgate/database-client/tls.crt" -}}
{{- $_ := set $postgres "key" "/etc/cashgate/database-client/tls.key" -}}
{{- end -}}
{{- $replica := deepCopy .Values.replica -}}
{{- $_ := set $replica "server_name" (include "cashgate.replicaServerName" .) -}}
{{- toYaml (dict "ledger" (dict "postgres" $postgres) "replica" $replica) -}}
{{- end -}}
{{- end -}}

{{/* Each replica's number is its pod's; so are its address and its certificate. */}}
{{- define "cashgate.env" -}}
{{- if eq .Values.mode "replicated" -}}
- name: POD_INDEX
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
- {name: CASHGATE_REPLICA__ID, value: "$(POD_INDEX)"}
- {name: CASHGATE_REPLICA__ADDRESS, value: "$(POD_NAME).{{ include "cashgate.replicaServerName" . }}:{{ .Values.ports.replica }}"}
- {name: CASHGATE_REPLICA__CERTIFICATE, value: "/etc/cashgate/replicas/$(POD_INDEX)/{{ .Values.tls.keys.certificate }}"}
- {name: CASHGATE_REPLICA__KEY, value: "/etc/cashgate/replicas/$(POD_INDEX)/{{ .Values.tls.keys.key }}"}
{{- end -}}
{{- end -}}

{{/* The name that every replica's certificate has, and the domain of their own names. */}}
{{- define "cashgate.replicaServerName" -}}
{{ include "cashgate.fullname" . }}-headless.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "cashgate.database.cluster" -}}
{{- .Values.database.cnpg.name | default (printf "%s-db" (include "cashgate.fullname" .)) -}}
{{- end -}}

{{- define "cashgate.database.hasCa" -}}
{{- if or .Values.database.cnpg.create .Values.database.ca.existingConfigMap .Values.database.ca.existingSecret -}}yes{{- end -}}
{{- end -}}

{{- define "cashgate.replicas" -}}
{{- .Values.replicas | default 3 | int -}}
{{- end -}}

{{/* How many replicas there can ever be: as many certificates are mounted. */}}
{{- define "cashgate.replicasMax" -}}
{{- $replicas := include "cashgate.replicas" . | int -}}
{{- if .Values.autoscaling.enabled -}}{{ max (int .Values.autoscaling.maxReplicas) $replicas }}{{- else -}}{{ $replicas }}{{- end -}}
{{- end -}}

{{- define "cashgate.replicaSecret" -}}
{{- printf "%s%d" (.root.Values.tls.replicaSecretPrefix | default (printf "%s-replica-" (include "cashgate.fullname" .root))) .number -}}
{{- end -}}

{{- define "cashgate.mounts.database" -}}
{{- if eq .Values.mode "replicated" }}
- {name: database, mountPath: /etc/cashgate/database, readOnly: true}
{{- if include "cashgate.database.hasCa" . }}
- {name: database-ca, mountPath: /etc/cashgate/database-ca, readOnly: true}
{{- end }}
{{- if .Values.database.clientCertificate.existingSecret }}
- {name: database-client, mountPath: /etc/cashgate/database-client, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cashgate.mounts.replicas" -}}
{{- if eq .Values.mode "replicated" }}
{{- range $number := until (include "cashgate.replicasMax" . | int) }}
- {name: replica-{{ $number }}, mountPath: /etc/cashgate/replicas/{{ $number }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "migration" true): the migration may connect as the tables' owner, which of a Cluster that the chart makes is its own user. */}}
{{- define "cashgate.volumes.database" -}}
{{- $database := .root.Values.database -}}
{{- if eq .root.Values.mode "replicated" }}
- name: database
  secret:
    {{- if and .migration $database.migrationDsn.existingSecret }}
    secretName: {{ $database.migrationDsn.existingSecret }}
    items: [{key: {{ $database.migrationDsn.key }}, path: {{ $database.dsn.key }}}]
    {{- else if and $database.cnpg.create (or .migration (not $database.dsn.existingSecret)) }}
    secretName: {{ include "cashgate.database.cluster" .root }}-app
    items: [{key: uri, path: {{ $database.dsn.key }}}]
    {{- else }}
    secretName: {{ $database.dsn.existingSecret }}
    items: [{key: {{ $database.dsn.key }}, path: {{ $database.dsn.key }}}]
    {{- end }}
    defaultMode: 0440
{{- if $database.cnpg.create }}
- name: database-ca
  secret:
    secretName: {{ include "cashgate.database.cluster" .root }}-ca
    items: [{key: ca.crt, path: {{ $database.ca.key }}}]
    defaultMode: 0440
{{- else }}
{{- include "cashgate.volumes.files" (dict "name" "database-ca" "from" $database.ca) }}
{{- end }}
{{- with $database.clientCertificate.existingSecret }}
- name: database-client
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end -}}

{{- define "cashgate.volumes.replicas" -}}
{{- if eq .Values.mode "replicated" }}
{{- range $number := until (include "cashgate.replicasMax" . | int) }}
- name: replica-{{ $number }}
  secret: {secretName: {{ include "cashgate.replicaSecret" (dict "root" $ "number" $number) }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end -}}

{{/* The way to a database that the chart itself makes. */}}
{{- define "cashgate.egress.database" -}}
{{- if and (eq .Values.mode "replicated") .Values.database.cnpg.create -}}
- ports:
    - {port: 5432, protocol: TCP}
  to:
    - podSelector:
        matchLabels: {cnpg.io/cluster: {{ include "cashgate.database.cluster" . }}}
{{- end -}}
{{- end -}}

{{/* What is wrong with the database's values, as a YAML list. */}}
{{- define "cashgate.checks.database" -}}
{{- $v := .Values -}}
{{- $database := $v.database -}}
{{- $wrong := list -}}
{{- if eq $v.mode "replicated" -}}
{{- if and $database.cnpg.create $database.dsn.existingSecret (not $database.role) -}}{{- $wrong = append $wrong "database: dsn.existingSecret and cnpg.create are both given; the database is one of them. If dsn is for a role of the gateways' own in the Cluster that the chart makes, name that role in database.role" -}}{{- end -}}
{{- if and $database.role (not $database.migrationDsn.existingSecret) (not (and $database.cnpg.create $database.dsn.existingSecret)) -}}{{- $wrong = append $wrong "database.role: the migration would connect as that role, which owns nothing that it could be granted. Name database.migrationDsn.existingSecret (of the tables' owner), or with database.cnpg.create the role's own database.dsn.existingSecret; or remove database.role" -}}{{- end -}}
{{- $heartbeat := dig "heartbeat_ms" 1000 $v.replica | int -}}
{{- if gt (mul 3 $heartbeat) (dig "dead_after_s" 5 $v.replica | int | mul 1000) -}}{{- $wrong = append $wrong (printf "replica.heartbeat_ms: %d must fit into dead_after_s three times; one lost heartbeat is no death" $heartbeat) -}}{{- end -}}
{{- if or $v.persistence.existingClaim $v.persistence.storageClass -}}{{- $wrong = append $wrong "persistence: is for mode=embedded; replicas keep nothing on a disk of their own. Remove it (the Cluster's disks are database.cnpg.storage)" -}}{{- end -}}
{{- if not (or $database.cnpg.create $database.dsn.existingSecret) -}}{{- $wrong = append $wrong "database: mode is replicated, and there is no database. Name database.dsn.existingSecret, or set database.cnpg.create" -}}{{- end -}}
{{- if and (gt (int $database.cnpg.synchronousStandbys) 0) $database.cnpg.create (ge (int $database.cnpg.synchronousStandbys) (int $database.cnpg.instances)) -}}{{- $wrong = append $wrong (printf "database.cnpg: %d synchronous standbys need more than %d instances" (int $database.cnpg.synchronousStandbys) (int $database.cnpg.instances)) -}}{{- end -}}
{{- if and $v.tls.replicaSecretPrefix $v.tls.certManager.enabled -}}{{- $wrong = append $wrong "tls: replicaSecretPrefix and certManager.enabled are both given; certificates come from one of them" -}}{{- end -}}
{{- if not (or $v.tls.replicaSecretPrefix $v.tls.certManager.enabled) -}}{{- $wrong = append $wrong "tls.replicaSecretPrefix: replicas show each other certificates of their own (spiffe://<trust domain>/replica/<number>). Name the Secrets' common beginning, or use tls.certManager" -}}{{- end -}}
{{- if and $v.networkPolicy.enabled $v.networkPolicy.egress.enabled (not (or $database.cnpg.create $v.networkPolicy.egress.database $v.networkPolicy.egress.extra)) -}}{{- $wrong = append $wrong "networkPolicy.egress.database: is empty, and PostgreSQL could not be reached. Name its addresses and port" -}}{{- end -}}
{{- else -}}
{{- if $v.tls.replicaSecretPrefix -}}{{- $wrong = append $wrong "tls.replicaSecretPrefix: is for mode=replicated; the one gateway's certificate is tls.existingSecret" -}}{{- end -}}
{{- if or $database.cnpg.create $database.dsn.existingSecret $database.migrationDsn.existingSecret $database.role $database.settings -}}{{- $wrong = append $wrong "database: is given, and mode is embedded, which keeps its ledger in SQLite. Set mode=replicated, or leave the database out" -}}{{- end -}}
{{- if not (kindIs "invalid" $v.replicas) -}}{{- $wrong = append $wrong (printf "replicas: %d are asked for, and mode is embedded, which has one gateway and never a second writer. Set mode=replicated, or leave replicas out" (int $v.replicas)) -}}{{- end -}}
{{- if $v.replica -}}{{- $wrong = append $wrong "replica: is for mode=replicated; remove it" -}}{{- end -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}
