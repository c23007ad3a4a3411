{{- /*
The objects of a file of manifests/, but for those that `without` names, as they are there: in the release's namespace,
with Castoff's label. So the chart is as the kustomize base is, and only what has values is written a second time.
*/ -}}
{{- define "castoff.objects" -}}
{{- $values := .root.Values }}
{{- $text := .root.Files.Get (printf "files/%s" .file) | required (printf "files/%s is not in the chart" .file) }}
{{- $text = $text | replace "castoff-system" .root.Release.Namespace }}
{{- $text = $text | replace "{port: 10250}" (printf "{port: %v}" $values.port) }}
{{- $text = $text | replace "count(castoff_build_info) < 2" (printf "count(castoff_build_info) < %d" (min 2 $values.replicas)) }}
{{- $without := .without }}
{{- range $document := regexSplit "(?m)^---\n" $text -1 }}
  {{- $object := fromYaml $document }}
  {{- if hasKey $object "Error" }}{{ fail $object.Error }}{{ end }}
  {{- if and $object (not (has (printf "%s/%s" $object.kind $object.metadata.name) $without)) }}
    {{- $_ := set $object.metadata "labels" (merge (dict "app.kubernetes.io/part-of" "castoff") ($object.metadata.labels | default dict)) }}
    {{- /* `helm upgrade` brings new fields, as it would not from crds/; `helm uninstall` leaves policies alone. */ -}}
    {{- if eq $object.kind "CustomResourceDefinition" }}
      {{- $_ := set $object.metadata "annotations" (dict "helm.sh/resource-policy" "keep") }}
    {{- end }}
---
{{ toYaml $object }}
{{ end }}
{{- end }}
{{- end }}
