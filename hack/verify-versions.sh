#!/usr/bin/env bash
# Fails when a go.mod under hack/ does not agree with hack/versions.env, the one place where versions are pinned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=hack/versions.env
. ./versions.env
bad=0
check() { # MODULE_DIR MODULE WANTED
  local got
  got=$(awk -v m="$2" '$1 == m && $2 ~ /^v/ {print $2} $1 == "require" && $2 == m {print $3}' "$1/go.mod" | head -n 1)
  [ "$got" = "$3" ] && return
  echo "hack/$1/go.mod requires $2 ${got:-nothing}, hack/versions.env says $3" >&2
  bad=1
}
check kube k8s.io/kubernetes "$KUBERNETES_VERSION"
check etcd go.etcd.io/etcd/server/v3 "$ETCD_VERSION"
check certmanager github.com/cert-manager/cert-manager "$CERT_MANAGER_VERSION"
check packaging helm.sh/helm/v3 "$HELM_VERSION"
# Every staging module must be replaced by the version that goes with the Kubernetes version.
while read -r module version; do
  [ "$version" = "$KUBERNETES_STAGING_VERSION" ] && continue
  echo "hack/kube/go.mod replaces $module by $version, hack/versions.env says $KUBERNETES_STAGING_VERSION" >&2
  bad=1
done < <(awk '$2 == "=>" {print $1, $4}' kube/go.mod)
exit $bad
