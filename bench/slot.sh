#!/bin/bash
# One slot of many volumes, as a storage engineer scripts it: snapshot, temporary volume, attachment, loop mount, restic,
# and everything back; `lanes` volumes at once; at the end one forget for all. Prints nothing when all went well.
# Needs curl, jq, restic, root. Environment: VOLUMES (a file of ids), LANES, CINDER (with the project), TOKEN, SLOT,
# KEEP, RESTIC_REPOSITORY, RESTIC_PASSWORD, WORK (an empty folder).
set -euo pipefail

call() { # method path [body]
  curl --silent --show-error --fail --request "$1" --header "X-Auth-Token: $TOKEN" \
    --header "OpenStack-API-Version: volume 3.60" --header "Content-Type: application/json" ${3:+--data "$3"} "$CINDER$2"
}

await() { # path filter wanted
  local tries
  for tries in $(seq 600); do
    [ "$(call GET "$1" | jq --raw-output "$2")" = "$3" ] && return
    sleep 0.1
  done
  echo "$1 is not $3" >&2
  return 1
}

gone() { # path
  local tries
  for tries in $(seq 600); do
    call GET "$1" >/dev/null 2>&1 || return 0
    sleep 0.1
  done
  echo "$1 is not gone" >&2
  return 1
}

file_of() { # an attachment of an NFS volume: where nova, too, finds it on its hosts
  local base share name
  IFS=$'\t' read -r base share name < <(jq --raw-output '.attachment.connection_info | [.mount_point_base, .export, .name] | @tsv' <<<"$1")
  echo "$base/$(printf %s "$share" | md5sum | cut -c1-32)/$name"
}

one() { # volume
  local old snapshot volume attachment answer mount="$WORK/$1"
  old=$(call GET "/snapshots/detail?volume_id=$1" | jq --raw-output '.snapshots[].id')
  snapshot=$(call POST /snapshots "{\"snapshot\":{\"volume_id\":\"$1\",\"force\":true,\"metadata\":{\"slot\":\"$SLOT\"}}}" | jq --raw-output .snapshot.id)
  await "/snapshots/$snapshot" .snapshot.status available
  volume=$(call POST /volumes "{\"volume\":{\"snapshot_id\":\"$snapshot\",\"size\":1}}" | jq --raw-output .volume.id)
  await "/volumes/$volume" .volume.status available
  answer=$(call POST /attachments "{\"attachment\":{\"volume_uuid\":\"$volume\",\"mode\":\"rw\",\"connector\":{\"host\":\"$HOSTNAME\",\"ip\":\"127.0.0.1\",\"os_type\":\"linux\",\"platform\":\"x86_64\",\"multipath\":false}}}")
  attachment=$(jq --raw-output .attachment.id <<<"$answer")
  call POST "/attachments/$attachment/action" '{"os-complete":null}' >/dev/null
  mkdir -p "$mount"
  mount -o ro,loop,nodev,nosuid,noexec "$(file_of "$answer")" "$mount"
  (cd "$mount" && restic backup --quiet --host "$1" --tag "slot=$SLOT" .)
  umount "$mount"
  call DELETE "/attachments/$attachment" >/dev/null
  await "/volumes/$volume" .volume.status available
  call DELETE "/volumes/$volume" >/dev/null
  gone "/volumes/$volume"
  for snapshot in $old; do
    call DELETE "/snapshots/$snapshot" >/dev/null
    gone "/snapshots/$snapshot"
  done
}

export -f call await gone file_of one
xargs --max-procs="$LANES" -I{} bash -euo pipefail -c 'one {}' <"$VOLUMES"
restic forget --quiet --group-by host --keep-last "$KEEP"
