{{/* TOML out of values. Helm's own toToml writes every number as a fraction, which the gateway refuses where it wants a whole one. */}}

{{/* A table and all inside: (dict "path" "" "table" $map) */}}
{{- define "cashgate.toml" -}}
{{- $path := .path -}}
{{- $prefix := ternary "" (printf "%s." $path) (eq $path "") -}}
{{- range $key, $value := .table -}}
{{- $tables := and (kindIs "slice" $value) (gt (len $value) 0) (kindIs "map" (first (default (list 0) $value))) -}}
{{- if not (or (kindIs "map" $value) $tables (kindIs "invalid" $value)) }}
{{ include "cashgate.toml.key" $key }} = {{ include "cashgate.toml.value" $value }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value }}
{{- $inner := printf "%s%s" $prefix (include "cashgate.toml.key" $key) }}

[{{ $inner }}]
{{- include "cashgate.toml" (dict "path" $inner "table" $value) }}
{{- end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if and (kindIs "slice" $value) (gt (len $value) 0) (kindIs "map" (first (default (list 0) $value))) }}
{{- $inner := printf "%s%s" $prefix (include "cashgate.toml.key" $key) }}
{{- range $value }}

[[{{ $inner }}]]
{{- include "cashgate.toml" (dict "path" $inner "table" .) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "cashgate.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "cashgate.toml.value" -}}
{{- if kindIs "slice" . -}}
[{{ range $at, $one := . }}{{ if $at }}, {{ end }}{{ include "cashgate.toml.value" $one }}{{ end }}]
{{- else if kindIs "string" . -}}
{{ toJson . }}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if eq (float64 .) (floor .) -}}
{{ printf "%d" (int64 .) }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}
