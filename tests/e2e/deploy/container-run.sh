# What container.sh built, run with a loopback of its own: the commands $TOKEN, $OWNER, $RUN of the Containerfile's first lines.
ip link set lo up
{ set +x; } 2> /dev/null
# At a terminal, the two PINs typed as they are asked for, each twice.
touch /srv/asked
mkfifo /srv/typed
script --quiet --flush --return --command "$TOKEN" /srv/asked < /srv/typed > /dev/null &
exec 3> /srv/typed
for asked in 1 2 3 4; do
    for _ in $(seq 200); do [ "$(grep -c 'PIN:' /srv/asked)" -lt $asked ] && sleep 0.1; done
    printf '%s\r' "$(cat /etc/edgeseal/pin)" >&3
done
wait $! || { cat /srv/asked; exit 1; }
set -x

install -m 600 /root/company/public.key /etc/edgeseal/public.key
sed -i 's/"127.0.0.1:/"0.0.0.0:/' /etc/edgeseal/edgeseal.toml
$OWNER
$RUN &
curl --silent --show-error --fail --retry 60 --retry-delay 1 --retry-all-errors https://signer.example.com:8443/readyz
podman exec --latest edgeseal doctor --no-speed
curl --silent --show-error --fail https://signer.example.com:8443/.well-known/jwks.json | jq --exit-status '.keys | length >= 1'
# What has to outlive the container is in the volume.
(cd "$(podman volume inspect --format '{{.Mountpoint}}' edgeseal)" && find . -type f) | tee /run/edgeseal-test/volume
podman stop --latest
wait $!
