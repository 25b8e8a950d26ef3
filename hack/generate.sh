#!/usr/bin/env bash
# Writes all generated files: deep-copies, CRDs, the operator's role, mcs-api's
# CRDs (unchanged), the kustomize bases and the chart's copies, the page of the
# chart's values, and the route feed's protobuf if protoc is installed.
# `make verify` runs it and fails on a difference.
set -euo pipefail
cd "$(dirname "$0")/.."

bin="$PWD/bin/tools"
mkdir -p "$bin"
build() { # name package: a no-op when the build cache has it
	(cd hack/tools && CGO_ENABLED=0 go build -trimpath -o "$bin/$1" "$2")
}

build controller-gen sigs.k8s.io/controller-tools/cmd/controller-gen
"$bin/controller-gen" object paths=./apis/...
"$bin/controller-gen" crd:maxDescLen=1024 paths=./apis/... output:crd:artifacts:config=config/crd
"$bin/controller-gen" rbac:roleName=causeway-operator paths=./controllers/... output:rbac:artifacts:config=config/rbac

mcs="$(go list -m -f '{{.Dir}}' sigs.k8s.io/mcs-api)"
mkdir -p config/crd/mcs
for crd in serviceexports serviceimports; do
	install -m 0644 "$mcs/config/crd/multicluster.x-k8s.io_$crd.yaml" config/crd/mcs/
done

(cd hack/packaging && CGO_ENABLED=0 go build -trimpath -o "$bin/packaging" .)
"$bin/packaging" bases

if command -v protoc >/dev/null; then
	build protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	build protoc-gen-go-grpc google.golang.org/grpc/cmd/protoc-gen-go-grpc
	feed=federation/routefeed
	PATH="$bin:$PATH" protoc -I "$feed" --go_out="$feed" --go_opt=paths=source_relative \
		--go-grpc_out="$feed" --go-grpc_opt=paths=source_relative feedpb/feed.proto
else
	echo "generate: protoc is not installed, federation/routefeed/feedpb is left as it is" >&2
fi
