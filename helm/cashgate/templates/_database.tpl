{{/* The replicated mode's own mounts and volumes. */}}
{{- define "cashgate.mounts.database" -}}{{- end -}}
{{- define "cashgate.volumes.database" -}}{{- end -}}
{{/* The way to a database that the chart itself makes. */}}
{{- define "cashgate.egress.database" -}}{{- end -}}
{{/* What is wrong with the database's values, as a YAML list. */}}
{{- define "cashgate.checks.database" -}}[]{{- end -}}
