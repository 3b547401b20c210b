# Runs the server "$@" and ends it when standard input ends: when its starter lets go of it, or
# is gone, kill -9 included. $COUNTERSIGN_REMOVE names a folder to remove afterwards, if any.
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{
  read -r _ <&3
  kill -QUIT "$server" # immediate shutdown: nothing here is worth a checkpoint
} 2>/dev/null &
guard=$!
exec 3<&-
wait "$server"
status=$?
kill "$guard" 2>/dev/null
[ -z "$COUNTERSIGN_REMOVE" ] || rm -rf -- "$COUNTERSIGN_REMOVE"
exit "$status"
