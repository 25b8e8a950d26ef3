#!/usr/bin/env bash
# Builds what is missing of the parts of a test cluster into bin/, each from the Go module that its project publishes:
#   kube-apiserver kube-controller-manager etcd cert-manager-controller, kubectl only where none is on PATH,
#   and the CustomResourceDefinitions of cert-manager and of the MCS API into bin/crds/.
# Needs Go, bash and coreutils; no root, no compiler for C. Versions: hack/versions.env, nowhere else.
# A second run builds nothing. A directory in KUBEBUILDER_ASSETS is used as it is: what lies there is not built.
#   --packaging   helm as well, for tests that install the chart
#   BIN=<dir>   where to put it all (default: bin/ beside hack/)
set -euo pipefail
HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(dirname "$HACK")
BIN=${BIN:-$ROOT/bin}
ASSETS=${KUBEBUILDER_ASSETS:-}
case ${1:-} in
  '') PACKAGING= ;;
  --packaging) PACKAGING=1 ;;
  *) echo "hack/build.sh: unknown argument $1; --packaging is the only one" >&2; exit 2 ;;
esac
# shellcheck source=hack/versions.env
. "$HACK/versions.env"

# Static and trimmed, and the flags below, are those of any other build of these modules on this machine that
# wants to share Go's build cache: a changed flag means compiling a million lines again.
export CGO_ENABLED=0 GOFLAGS="-buildvcs=false" GOWORK=off
V=k8s.io/component-base/version
MINOR=${KUBERNETES_VERSION#v1.}; MINOR=${MINOR%%.*}
KUBE_LDFLAGS="-s -w -X $V.gitVersion=$KUBERNETES_VERSION -X $V.gitMajor=1 -X $V.gitMinor=$MINOR -X $V.gitTreeState=clean -X k8s.io/client-go/pkg/version.gitVersion=$KUBERNETES_VERSION"
H=helm.sh/helm/v3
HELM_LDFLAGS="-s -w -X $H/internal/version.version=$HELM_VERSION"
for pkg in chartutil lint/rules; do HELM_LDFLAGS+=" -X $H/pkg/$pkg.k8sVersionMajor=1 -X $H/pkg/$pkg.k8sVersionMinor=$MINOR"; done
STAMPS=$BIN/.versions
mkdir -p "$STAMPS" "$BIN/crds"

say() { printf '[%s] %s\n' "$(date +%T)" "$*" >&2; }
die() { say "$*"; exit 1; }

command -v go >/dev/null || die "go is not on PATH; install Go 1.26 (https://go.dev/dl) and run this again"

# have NAME VERSION: is it there, in this version? A stamp is written only after the file is in place.
have() { [ -e "$BIN/$1" ] && [ "$(cat "$STAMPS/$1" 2>/dev/null)" = "$2" ]; }
# given NAME: does the user's own directory of assets hold it?
given() { [ -n "$ASSETS" ] && [ -x "$ASSETS/$1" ]; }

# build NAME VERSION MODULE_DIR PACKAGE LDFLAGS COLD: COLD says how long it takes with an empty build cache.
build() {
  local name=$1 version=$2 dir=$3 pkg=$4 ld=$5 cold=$6 began=$SECONDS tmp
  if given "$name"; then say "$name: using $ASSETS/$name"; return; fi
  if have "$name" "$version"; then return; fi
  say "$name $version: building (about $cold when nothing is cached, seconds otherwise)"
  tmp=$BIN/.$name.$$
  if ! (cd "$HACK/$dir" && go build -trimpath -ldflags "$ld" -o "$tmp" "$pkg"); then
    rm -f "$tmp"
    die "$name $version: the build failed after $((SECONDS - began)) s; the reason stands above"
  fi
  mv -f "$tmp" "$BIN/$name"
  printf '%s' "$version" >"$STAMPS/$name"
  say "$name $version: built in $((SECONDS - began)) s"
}

# crds NAME VERSION MODULE_DIR MODULE SUBDIR PATTERN: copies CRDs out of a module.
crds() {
  local name=$1 version=$2 dir=$3 module=$4 sub=$5 pattern=$6 src
  have "crds/$name.yaml" "$version" && return
  src=$(cd "$dir" && go mod download "$module" && go list -m -f '{{.Dir}}' "$module")/$sub
  # shellcheck disable=SC2086 # the pattern is meant to be expanded
  (cd "$src" && for f in $pattern; do printf -- '---\n'; cat "$f"; printf '\n'; done) >"$BIN/crds/.$name.$$"
  mv -f "$BIN/crds/.$name.$$" "$BIN/crds/$name.yaml"
  mkdir -p "$STAMPS/crds"
  printf '%s' "$version" >"$STAMPS/crds/$name.yaml"
  say "crds/$name.yaml: copied from $module $version"
}

began=$SECONDS
build etcd "$ETCD_VERSION" etcd go.etcd.io/etcd/server/v3 "-s -w" "1 minute"
build kube-apiserver "$KUBERNETES_VERSION" kube k8s.io/kubernetes/cmd/kube-apiserver "$KUBE_LDFLAGS" "8 minutes on 2 cores"
build kube-controller-manager "$KUBERNETES_VERSION" kube k8s.io/kubernetes/cmd/kube-controller-manager "$KUBE_LDFLAGS" "2 minutes"
build cert-manager-controller "$CERT_MANAGER_VERSION" certmanager . "-s -w" "4 minutes"
if [ -x "$BIN/kubectl" ] || ! command -v kubectl >/dev/null; then
  build kubectl "$KUBERNETES_VERSION" kube k8s.io/kubernetes/cmd/kubectl "$KUBE_LDFLAGS" "2 minutes"
fi
if [ -n "$PACKAGING" ]; then
  build helm "$HELM_VERSION" packaging $H/cmd/helm "$HELM_LDFLAGS" "3 minutes"
fi
MCS_VERSION=$(cd "$ROOT" && go list -m -f '{{.Version}}' sigs.k8s.io/mcs-api)
crds cert-manager "$CERT_MANAGER_VERSION" "$HACK/certmanager" github.com/cert-manager/cert-manager deploy/crds 'cert-manager.io_*.yaml acme.cert-manager.io_*.yaml'
crds mcs-api "$MCS_VERSION" "$ROOT" sigs.k8s.io/mcs-api config/crd 'multicluster.x-k8s.io_*.yaml'
if [ $((SECONDS - began)) -gt 2 ]; then say "bin/ is complete after $((SECONDS - began)) s"; fi
