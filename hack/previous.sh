#!/usr/bin/env bash
# Builds the images of the previous version, the commit that hack/previous-version names, into
# bin/previous/images with the tag "previous": what the upgrade and skew tests run beside the new one.
# A second run builds nothing. Needs git and the commit in this clone; --check says whether it is there, and ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$PWD/bin/previous
commit=$(tr -d '[:space:]' <hack/previous-version)
if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
  echo "hack/previous-version names $commit, which this clone does not have: fetch the whole history (git fetch --unshallow)" >&2
  exit 1
fi
if [ "${1:-}" = --check ]; then exit 0; fi
if [ "$(cat "$out/.commit" 2>/dev/null)" = "$commit" ]; then exit 0; fi
echo "building the images of the previous version, $commit; some minutes from cold" >&2
rm -rf "$out"
git worktree prune
mkdir -p "$out"
git worktree add --quiet --force --detach "$out/src" "$commit"
trap 'git worktree remove --force "$out/src"' EXIT
make --no-print-directory -C "$out/src" images ARCHS=amd64 VERSION=previous COMMIT="$commit" >&2
mkdir -p "$out/images"
mv "$out"/src/bin/images/causeway-*-amd64.tar "$out/images/"
printf '%s' "$commit" >"$out/.commit"
