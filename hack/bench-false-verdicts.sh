#!/usr/bin/env bash
# Lets quiet federations live at 5 % loss and counts what verdicts are wrong: HOURS virtual
# hours of 12 clusters and MINUTES virtual minutes of 250, shared out over as many worlds
# as there are cores, each a process on one core with a seed of its own. False verdicts
# are kept in out/bench. The speeds are virtual seconds per second of processor time, of all
# worlds together.
set -euo pipefail
cd "$(dirname "$0")/.."

hours=${HOURS:-1} minutes=${MINUTES:-1} seed=${SEED:-1} worlds=${WORLDS:-$(nproc)}
out=$PWD/out/bench tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$out"
rm -f "$out"/false-verdicts-*.csv
go test -tags bench -c -o "$tmp/sim.test" ./federation/sim
go test -tags bench -c -o "$tmp/gossip.test" ./federation/gossip

# worlds SIZE SPAN COMMAND…: runs the command in each world, and sums up what they print.
worlds() {
	local size=$1 span=$2 pids=() i
	shift 2
	awk "BEGIN { exit !($span > 0) }" || return 0
	for ((i = 0; i < worlds; i++)); do
		GOMAXPROCS=1 "$@" -test.run '^TestBenchFalseVerdicts$' -test.timeout 24h -seed $((seed + i)) >"$tmp/$size-$i" 2>&1 &
		pids+=($!)
	done
	for i in "${!pids[@]}"; do
		wait "${pids[$i]}" || { cat "$tmp/$size-$i" >&2; exit 1; }
	done
	cat "$tmp/$size"-* | awk -v p="false_verdicts_$size" '$1 ~ "^"p { sum[$1] += $2; unit[$1] = $3 }
		END { for (n in sum) print n, sum[n], unit[n] }' | sort | tee -a "$tmp/sums"
}
share() { awk "BEGIN { print $1 / $worlds }"; }

worlds 12 "$hours" "$tmp/sim.test" -clusters 12 -hours "$(share "$hours")" -samples "$out"
worlds 250 "$minutes" "$tmp/gossip.test" -clusters 250 -minutes "$(share "$minutes")" -out "$out"
awk '$3 == "verdicts" { n += $2 } END { print "false_verdicts", n + 0, "verdicts" }' "$tmp/sums"
