# Stops the shared test servers ($1 PostgreSQL, $2 Redis) once nobody has held $3 for five minutes.
# Stopping happens under the lock, so that a test that starts just then finds them either up or gone.
unused=0
while kill -0 "$1" 2>/dev/null; do
    sleep 15
    if flock --nonblock --exclusive "$3" true; then unused=$((unused + 1)); else unused=0; fi
    [ "$unused" -ge 20 ] || continue
    flock --nonblock --exclusive "$3" sh -c '
        kill -s INT "$1"; kill -s TERM "$2"
        while kill -0 "$1" 2>/dev/null || kill -0 "$2" 2>/dev/null; do sleep 1; done
    ' sh "$1" "$2"
done
kill -s TERM "$2" 2>/dev/null
