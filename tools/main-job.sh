#!/bin/sh
# The main job of the README: cluster up, examples/time-date built, pushed, deployed with kubectl, and asked for its answer.
set -eu
cd "$(dirname "$0")/.."
knarr=.venv/bin/knarr
image=localhost:5000/time-date:v1
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }
as_root= && [ "$(id -u)" = 0 ] || as_root=sudo

say knarr up && $as_root "$knarr" up
say knarr build -t "$image" examples/time-date
mkdir -p .cache/time-date && cp examples/time-date/* .cache/time-date/ && cp "$(command -v busybox)" .cache/time-date/busybox
$as_root "$knarr" build -t "$image" .cache/time-date
say knarr push "$image" && $as_root "$knarr" push "$image"
say kubectl create deployment time-date --image="$image"
kubectl create deployment time-date --image="$image" --dry-run=client -o yaml | kubectl apply -f -
say kubectl rollout status deployment/time-date && kubectl rollout status deployment/time-date --timeout=60s
say kubectl get pods && kubectl get pods -l app=time-date -o wide
address=$(kubectl get pods -l app=time-date -o 'jsonpath={.items[0].status.podIP}')
say curl "http://$address:8080/" && curl -s --max-time 5 --retry 5 --retry-connrefused "http://$address:8080/"
cat <<T

It runs. Try next:
  kubectl logs deployment/time-date
  kubectl exec deployment/time-date -- date
  kubectl scale deployment/time-date --replicas=3
  kubectl port-forward deployment/time-date 8080:8080
  $knarr status
  $knarr down          # stops it; knarr up brings it back
  $knarr delete --yes  # removes everything
T
