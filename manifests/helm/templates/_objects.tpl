{{- /*
The objects of a file of manifests/, but for those that `without` names, as they are there: in the release's namespace,
with the release's labels, and with what values change. So the chart is as the kustomize base is, and only what has most
of the values, the Deployment, is written a second time.
*/ -}}
{{- define "castoff.objects" -}}
{{- $root := .root }}
{{- $text := $root.Files.Get (printf "files/%s" .file) | required (printf "files/%s is not in the chart" .file) }}
{{- $without := .without }}
{{- range $document := regexSplit "(?m)^---\n" (include "castoff.renamed" (dict "root" $root "text" $text)) -1 }}
  {{- $object := fromYaml $document }}
  {{- if hasKey $object "Error" }}{{ fail $object.Error }}{{ end }}
  {{- if and $object (not (has (printf "%s/%s" $object.kind $object.metadata.name) $without)) }}
    {{- $_ := set $object.metadata "labels" (merge (fromYaml (include "castoff.labels" $root)) ($object.metadata.labels | default dict)) }}
    {{- include "castoff.changed" (dict "values" $root.Values "object" $object) }}
---
{{ toYaml $object }}
{{ end }}
{{- end }}
{{- end }}

{{- /* A file's text with the namespace, names, ports and addresses that values give. */ -}}
{{- define "castoff.renamed" -}}
{{- $values := .root.Values }}
{{- $account := $values.serviceAccount.name }}
{{- $text := .text | replace "castoff-system:castoff'" (printf "castoff-system:%s'" $account) }}
{{- $text = $text | replace "{kind: ServiceAccount, name: castoff," (printf "{kind: ServiceAccount, name: %s," $account) }}
{{- $text = $text | replace "castoff-system" .root.Release.Namespace }}
{{- $text = $text | replace "{port: 10250}" (printf "{port: %v}" $values.port) }}
{{- $text = $text | replace "{port: 8081}" (printf "{port: %v}" $values.adminPort) }}
{{- $text = $text | replace "count(castoff_build_info) < 2" (printf "count(castoff_build_info) < %d" (min 2 $values.replicas)) }}
{{- with $values.runbookUrl }}{{ $text = $text | replace "https://castoff.dev/docs/runbook" . }}{{ end }}
{{- $text }}
{{- end }}

{{- /* What values change in an object, by its kind. */ -}}
{{- define "castoff.changed" -}}
{{- $values := .values }}
{{- $object := .object }}
{{- $kind := $object.kind }}
{{- /* `helm upgrade` brings new fields, as it would not from crds/; `helm uninstall` leaves policies alone. */ -}}
{{- if eq $kind "CustomResourceDefinition" }}
  {{- $_ := set $object.metadata "annotations" (dict "helm.sh/resource-policy" "keep") }}
{{- else if eq $kind "ServiceAccount" }}
  {{- $_ := set $object.metadata "name" $values.serviceAccount.name }}
  {{- with $values.serviceAccount.annotations }}{{ $_ := set $object.metadata "annotations" . }}{{ end }}
{{- else if eq $kind "PodDisruptionBudget" }}
  {{- $_ := set $object.spec "maxUnavailable" $values.podDisruptionBudget.maxUnavailable }}
{{- else if eq $kind "NetworkPolicy" }}
  {{- with $values.networkPolicy.from }}{{ $_ := set (index $object.spec.ingress 0) "from" . }}{{ end }}
  {{- $_ := set (index $object.spec.ingress 1) "from" $values.networkPolicy.metricsFrom }}
{{- else if has $kind (list "PodMonitor" "PrometheusRule" "ConfigMap") }}
  {{- $monitoring := $values.monitoring }}
  {{- $_ := set $object.metadata "labels" (merge $monitoring.labels $object.metadata.labels) }}
  {{- if eq $kind "PodMonitor" }}
    {{- with $monitoring.interval }}{{ $_ := set (index $object.spec.podMetricsEndpoints 0) "interval" . }}{{ end }}
    {{- with $monitoring.namespace }}
      {{- $_ := set $object.spec "namespaceSelector" (dict "matchNames" (list $object.metadata.namespace)) }}
    {{- end }}
  {{- end }}
  {{- with $monitoring.namespace }}{{ $_ := set $object.metadata "namespace" . }}{{ end }}
{{- end }}
{{- end }}

{{- /* Labels of every object. */ -}}
{{- define "castoff.labels" -}}
app.kubernetes.io/name: castoff
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: castoff
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "castoff.image" -}}
{{- $image := .Values.image }}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) }}
{{- with $image.digest }}@{{ . }}{{ end }}
{{- end }}
