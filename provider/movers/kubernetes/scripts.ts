import { devicePath, scratchPath } from "./objects";

/**
 * What the pods run. Any image will do that has restic and a POSIX shell with `stat`; `getfattr` and `setfattr` are used
 * where they are there.
 *
 * restic runs beside the shell, which turns the TERM of a pod that is ended into INT: on TERM restic below 0.17 leaves
 * its lock behind.
 */
const running = `
run() {
  "$@" & child=$!
  trap 'kill -INT "$child"' TERM INT
  while :; do
    wait "$child"; code=$?
    kill -0 "$child" 2>/dev/null || return "$code"
  done
}
say() { printf '{"message_type":"osbackup","%s":"%s"}\\n' "$1" "$2"; }
`;

/** The exit code of a script that found nothing to back up. */
export const nothingFound = 66;

/** The exit code of a script that read back other bytes than it wrote. */
export const otherBytes = 67;

/**
 * Arguments: how many are restic's, those, and the paths. Says which paths are not there or are links, and keeps the root folder's
 * mode, owner, time and attributes as tags, as the mover 'local' does.
 */
export const backUpFiles = `${running}
count=$1; shift
paths=$(($# - count))
while [ "$count" -gt 0 ]; do set -- "$@" "$1"; shift; count=$((count - 1)); done
root=$(stat -c '%a:%u:%g' .)
changed=$(stat -c '%Y' .)
tags="root=$root root-mtime=$changed.000"
attributes=$(getfattr --dump --match=- --encoding=base64 --absolute-names . 2>/dev/null | grep '=0s' |
  base64 | tr '+/' '-_' | tr -d '=\\n')
[ "$attributes" ] && [ "\${#attributes}" -le 8192 ] && tags="$tags root-xattrs=$attributes"
say tags "$tags"
for tag in $tags; do set -- "$@" "--tag=$tag"; done
set -- "$@" --
place=0
while [ "$place" -lt "$paths" ]; do
  if [ -L "$1" ]; then say link "$place"
  elif [ -e "$1" ]; then set -- "$@" "$1"; found=yes
  else say missing "$place"
  fi
  shift; place=$((place + 1))
done
[ "$found" ] || exit ${nothingFound}
run restic "$@"
`;

/** Arguments: restic's own. */
export const backUpDevice = `${running}
exec 3< ${devicePath} || exit
run sh -c 'exec restic "$@" <&3 3<&-' restic "$@"
`;

/** Arguments: the root folder's mode, owner, time and attributes, each may be empty, then restic's own. */
export const restoreFiles = `${running}
mode=$1; owner=$2; changed=$3; attributes=$4; shift 4
run restic "$@" || exit
[ -z "$owner" ] || chown "$owner" . || exit
[ -z "$mode" ] || chmod "$mode" . || exit
[ -z "$attributes" ] || printf '# file: .\\n%s\\n' "$attributes" | setfattr --restore=- ||
  say warning "the attributes of the root of the volume are lost"
[ -z "$changed" ] || touch -d "@$changed" .
sync
`;

/** Arguments: "verify" or nothing, then restic's own. What was written is read back and compared. */
export const restoreDevice = `${running}
verify=$1; shift
if [ -z "$verify" ]; then run restic "$@" > ${devicePath} && sync; exit; fi
cd ${scratchPath} && mkfifo data copy || exit
wc -c < copy > bytes &
tee ${devicePath} copy < data | sha256sum > written &
run restic "$@" > data || exit
wait
sync
read=$(head -c "$(cat bytes)" ${devicePath} | sha256sum)
[ "$read" = "$(cat written)" ] || exit ${otherBytes}
`;
