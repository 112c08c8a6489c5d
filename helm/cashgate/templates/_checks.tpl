{{/* What the schema cannot see because it lies in two places. Each sentence says what, where and what to do; all are said at once. */}}
{{- define "cashgate.checks" -}}
{{- $v := .Values -}}
{{- $wrong := list -}}
{{- $embedded := eq $v.mode "embedded" -}}
{{- if not $v.config.institution -}}{{- $wrong = append $wrong "config.institution: at least one institution is needed" -}}{{- end -}}
{{- range $at, $one := $v.config.institution -}}
{{- $before := slice $v.config.institution 0 $at -}}
{{- range $before -}}{{- if eq .id $one.id -}}{{- $wrong = append $wrong (printf "config.institution: %q is there twice" $one.id) -}}{{- end -}}{{- end -}}
{{- end -}}
{{- if not $v.hsm.module -}}{{- if not (eq $v.hsm.from "softhsm") -}}{{- $wrong = append $wrong "hsm.module: the path of the PKCS#11 module in the gateway's container is needed" -}}{{- end -}}{{- end -}}
{{- if not $v.hsm.slots -}}{{- $wrong = append $wrong "hsm.slots: at least one slot with tokenLabel and pin.existingSecret is needed" -}}{{- end -}}
{{- if eq $v.hsm.from "softhsm" -}}
{{- if not $v.hsm.softhsm.iKnowThatThisProtectsNoKey -}}{{- $wrong = append $wrong "hsm.from is softhsm: keys would lie in a file, and whoever reads it can make codes that every app believes. For a trial say hsm.softhsm.iKnowThatThisProtectsNoKey=true; otherwise name your HSM's module" -}}{{- end -}}
{{- if not $embedded -}}{{- $wrong = append $wrong "hsm.from is softhsm: its keys lie on one pod's disk, and replicas need keys that all of them reach. Use mode=embedded for a trial" -}}{{- end -}}
{{- if gt (len $v.hsm.slots) 1 -}}{{- $wrong = append $wrong "hsm.from is softhsm: it has one slot" -}}{{- end -}}
{{- end -}}
{{- if eq $v.hsm.from "initImage" -}}
{{- if or (not $v.hsm.initImage.image.repository) (not $v.hsm.initImage.command) -}}{{- $wrong = append $wrong "hsm.from is initImage: hsm.initImage.image.repository and hsm.initImage.command (which copies the module to hsm.initImage.mountPath) are needed" -}}{{- end -}}
{{- end -}}
{{- if eq $v.hsm.from "volume" -}}{{- if not $v.hsm.volume.source -}}{{- $wrong = append $wrong "hsm.from is volume: hsm.volume.source is needed, such as {csi: {...}}, {image: {...}} or {persistentVolumeClaim: {...}}" -}}{{- end -}}{{- end -}}
{{- if eq $v.hsm.from "sidecar" -}}
{{- if or (not $v.hsm.sidecar.image.repository) (not $v.hsm.sidecar.command) -}}{{- $wrong = append $wrong "hsm.from is sidecar: hsm.sidecar.image.repository and hsm.sidecar.command (a p11-kit server on /run/p11-kit/pkcs11.sock) are needed" -}}{{- end -}}
{{- if ne (int (dig "hsm" "workers" 4 $v.config)) 1 -}}{{- $wrong = append $wrong "hsm.from is sidecar: set config.hsm.workers to 1. Of several calls through one p11-kit client one can hang for ever when the server goes (hsm-config/README.md)" -}}{{- end -}}
{{- end -}}
{{- if and $v.tls.existingSecret $v.tls.certManager.enabled -}}{{- $wrong = append $wrong "tls: existingSecret and certManager.enabled are both given; the certificate comes from one of them" -}}{{- end -}}
{{- if not (or $v.tls.existingSecret $v.tls.certManager.enabled) -}}{{- $wrong = append $wrong "tls: name tls.existingSecret, or set tls.certManager.enabled and its issuerRef" -}}{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuerRef) -}}{{- $wrong = append $wrong "tls.certManager.issuerRef: is needed, such as {name: atm-ca, kind: ClusterIssuer}" -}}{{- end -}}
{{- range $name, $files := dict "tls.peerAuthorities" $v.tls.peerAuthorities "tls.crl" $v.tls.crl -}}
{{- if and $files.existingConfigMap $files.existingSecret -}}{{- $wrong = append $wrong (printf "%s: existingConfigMap and existingSecret are both given; name one" $name) -}}{{- end -}}
{{- end -}}
{{- range $name, $policy := dict "policy" $v.policy "policy.shadow" $v.policy.shadow -}}
{{- if and $policy.files $policy.existingConfigMap -}}{{- $wrong = append $wrong (printf "%s: files and existingConfigMap are both given; rules come from one of them" $name) -}}{{- end -}}
{{- end -}}
{{- if eq $v.policy.source "ledger" -}}
{{- if or $v.policy.files $v.policy.existingConfigMap -}}{{- $wrong = append $wrong "policy.source is ledger: rules come from what was published; remove policy.files and policy.existingConfigMap" -}}{{- end -}}
{{- if $v.config.atm_limits -}}{{- $wrong = append $wrong "policy.source is ledger: config.atm_limits comes from what was published; remove it" -}}{{- end -}}
{{- range $v.config.institution -}}
{{- if or .limits .evidence_demanded -}}{{- $wrong = append $wrong (printf "policy.source is ledger: the limits and evidence_demanded of institution %s come from what was published; remove them" .id) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $least := include "cashgate.gracePeriodMin" . | int -}}
{{- if lt (include "cashgate.gracePeriod" . | int) $least -}}{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds: %d is less than the %d s that a stop may take (preStopSleepSeconds, config.timing.drain_s, and the HSM's closing): customers would be cut off. Raise it, or lower drain_s" (include "cashgate.gracePeriod" . | int) $least) -}}{{- end -}}
{{- if $v.autoscaling.enabled -}}
{{- if $embedded -}}{{- $wrong = append $wrong "autoscaling.enabled: the embedded mode has one writer; use mode=replicated" -}}{{- end -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}{{- $wrong = append $wrong "autoscaling: minReplicas is more than maxReplicas" -}}{{- end -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- if not (or $v.networkPolicy.atm.from $v.loadtest.enabled) -}}{{- $wrong = append $wrong "networkPolicy.atm.from: is empty, and no ATM could connect. Name where they come from, such as [{ipBlock: {cidr: 10.20.0.0/16}}], or set networkPolicy.enabled=false" -}}{{- end -}}
{{- if not (or $v.networkPolicy.api.from $v.loadtest.enabled) -}}{{- $wrong = append $wrong "networkPolicy.api.from: is empty, and no app back end could connect. Name where they come from, or set networkPolicy.enabled=false" -}}{{- end -}}
{{- if and $v.networkPolicy.egress.enabled (not (or $v.networkPolicy.egress.coreBanking $v.networkPolicy.egress.extra $v.loadtest.enabled)) -}}{{- $wrong = append $wrong "networkPolicy.egress.coreBanking: is empty, and no hold could be placed. Name core banking's addresses and port, or set networkPolicy.egress.enabled=false" -}}{{- end -}}
{{- end -}}
{{- if $v.networkPolicy.enabled -}}
{{- if and (or $v.monitoring.serviceMonitor.enabled $v.keysIngress.enabled) (not $v.networkPolicy.http.from) -}}{{- $wrong = append $wrong "networkPolicy.http.from: is empty, and neither Prometheus (monitoring.serviceMonitor) nor an ingress (keysIngress) could connect. Name where they run, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" -}}{{- end -}}
{{- if and $v.config.telemetry $v.networkPolicy.egress.enabled (not (or $v.networkPolicy.egress.telemetry $v.networkPolicy.egress.extra)) -}}{{- $wrong = append $wrong "networkPolicy.egress.telemetry: is empty, and the collector of config.telemetry could not be reached: every trace would be dropped. Name its addresses and port" -}}{{- end -}}
{{- end -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- range $name, $labels := dict "commonLabels" (concat $own (list "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart")) "podLabels" $own -}}
{{- range $label := $labels -}}
{{- if hasKey (index $v $name) $label -}}{{- $wrong = append $wrong (printf "%s: %s is the chart's own label; remove it" $name $label) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range $name, $port := ternary (omit $v.ports "replica") $v.ports $embedded -}}
{{- if has (int $port) $ports -}}{{- $wrong = append $wrong (printf "ports.%s: %d is another port's too" $name (int $port)) -}}{{- end -}}
{{- $ports = append $ports (int $port) -}}
{{- end -}}
{{- if and $v.keysIngress.enabled (or (not $v.keysIngress.host) (not $v.keysIngress.tlsSecret)) -}}{{- $wrong = append $wrong "keysIngress: host and tlsSecret are needed. Apps must know whose keys they fetch" -}}{{- end -}}
{{- if $v.loadtest.enabled -}}
{{- if not $v.loadtest.thisGatewayServesNoCustomers -}}{{- $wrong = append $wrong "loadtest.enabled: a load test registers phones and plays core banking. Say loadtest.thisGatewayServesNoCustomers=true if that is so" -}}{{- end -}}
{{- if not (or $v.loadtest.authority.existingSecret $v.loadtest.certificates) -}}{{- $wrong = append $wrong "loadtest: name loadtest.authority.existingSecret (a test authority), or loadtest.certificates (a volume with ca.pem and certs/)" -}}{{- end -}}
{{- if and $v.loadtest.authority.existingSecret $v.loadtest.certificates -}}{{- $wrong = append $wrong "loadtest: authority.existingSecret and certificates are both given; name one" -}}{{- end -}}
{{- end -}}
{{- range $name := list "atm" "api" "http" -}}
{{- $service := index $v.services $name -}}
{{- if and (not (eq $service.type "LoadBalancer")) $service.loadBalancerSourceRanges -}}{{- $wrong = append $wrong (printf "services.%s.loadBalancerSourceRanges: needs type LoadBalancer" $name) -}}{{- end -}}
{{- if and (eq $service.type "ClusterIP") $service.nodePort -}}{{- $wrong = append $wrong (printf "services.%s.nodePort: needs type NodePort or LoadBalancer" $name) -}}{{- end -}}
{{- if and (eq $name "http") (eq $service.type "LoadBalancer") -}}{{- $wrong = append $wrong "services.http.type: the HTTP port has no certificates and stays inside; apps fetch the keys through keysIngress" -}}{{- end -}}
{{- end -}}
{{- $wrong = concat $wrong (include "cashgate.checks.database" . | fromYamlArray) -}}
{{- if $wrong -}}
{{- fail (printf "\n\nThese values cannot work:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
