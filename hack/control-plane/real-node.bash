#!/usr/bin/env bash
# The part of hack/cluster that is about a real node. hack/cluster reads this file; it does nothing by itself.
# shellcheck disable=SC2154 # what is not set here is set there
# shellcheck disable=SC2034 # and the other way round

# The programs that run in the node's namespaces have a parent outside, which passes nothing on.
real_components=(node etcd apiserver relay controller-manager scheduler dns containerd kubelet kube-proxy)
node_address=172.30.0.1

need_real_node() {
  ((EUID == 0)) || fail "--real-node needs root: it makes namespaces, mounts and cgroups"
  need unshare "install util-linux"
  need ip "install iproute2"
  need python3 "install Python 3.9 or newer"
  case $folder/ in
    /run/* | /var/run/* | /var/lib/* | /var/log/*)
      fail "a node can't keep its state in $runs: let XDG_CACHE_HOME name another place"
      ;;
  esac
}

# The process that component $1 is: what runs on the node is a child of what waits for it, once it has started.
process_of() {
  local pid children=()
  pid=$(pid_of "$1") || return 1
  case $1 in
    node | containerd | kubelet) read -ra children 2>/dev/null <"/proc/$pid/task/$pid/children" || true ;;
  esac
  echo "${children[0]:-$pid}"
}

node_made() {
  [[ -e $folder/node/made ]] && process_of node >"$folder/node/pid"
}

# Namespaces first: the control plane runs in the node's network, as the API server must reach pods and Services.
make_node() {
  mkdir -p "$folder/node"
  command_of node "$here/control-plane/node/run" new "$folder"
  start node
  wait_for 20 "the node's namespaces and cgroups" node_made
  "$here/control-plane/node/configure" "$folder" "${binaries[packages]}"
}

node_commands() {
  local packages=${binaries[packages]} environment inside pid
  read -r pid <"$folder/node/pid"
  kubeconfig "$folder/kubelet.kubeconfig" kubelet
  kubeconfig "$folder/kube-proxy.kubeconfig" kube-proxy
  environment=(env "PATH=$packages/usr/sbin:$packages/usr/bin:$PATH"
    "LD_LIBRARY_PATH=$packages/usr/lib/x86_64-linux-gnu:$packages/usr/lib/aarch64-linux-gnu")
  inside=("$here/control-plane/node/run" in "$folder" "${environment[@]}")
  printf '%s\0' "${environment[@]}" >"$folder/node/environment"
  command_of relay python3 "$here/control-plane/node/relay" "$pid" $((21000 + 10 * slot)) $((21001 + 10 * slot))
  command_of dns "${in_network[@]}" "${binaries[coredns]}" -conf "$folder/node/Corefile"
  command_of containerd "${inside[@]}" containerd --config "$folder/node/containerd.toml"
  command_of kubelet "${inside[@]}" "${binaries[kubelet]}" --config="$folder/node/kubelet.yaml" \
    --kubeconfig="$folder/kubelet.kubeconfig" --hostname-override=node-1 --node-ip="$node_address" \
    --node-labels=topology.kubernetes.io/zone=zone-1
  command_of kube-proxy "${in_network[@]}" "${environment[@]}" "${binaries[kube-proxy]}" \
    --config="$folder/node/proxy.yaml"
}

# inside COMMAND...: on the node
inside() {
  local environment
  mapfile -d '' environment <"$folder/node/environment"
  "$here/control-plane/node/run" in "$folder" "${environment[@]}" "$@"
}

containerd_answers() {
  inside ctr version
}

start_node() {
  start dns
  start containerd
  wait_for 30 containerd containerd_answers
  "$here/task" oci pause "${binaries[pause]}" castoff.test/pause:1 "$folder/node/pause.tar"
  load "$folder/node/pause.tar" >/dev/null
  start kubelet
  start kube-proxy
}

node_registered() {
  kube get node node-1 -o name
}

# load ARCHIVE...: puts images where the kubelet finds them
load() {
  local archive
  [[ -e $folder/node/environment ]] || fail "cluster $name has no real node: up --real-node makes one"
  for archive in "$@"; do
    [[ -r $archive ]] || fail "load: there is no file $archive"
    inside ctr -n k8s.io images import - <"$archive"
  done
}

remove_cgroups() {
  local cgroup deadline=$((SECONDS + 10))
  [[ -e $folder/node/cgroups ]] || return 0
  while read -r cgroup; do
    while [[ -d $cgroup ]]; do
      find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
      if ((SECONDS >= deadline)); then
        echo "hack/cluster: $cgroup can't be removed: processes are in it" >&2
        break
      fi
      if [[ -d $cgroup ]]; then sleep 0.1; fi
    done
  done <"$folder/node/cgroups"
}
