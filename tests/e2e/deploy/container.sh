# On a copy of this machine whose software is the container's, with a loopback of its own: the first lines of the Containerfile.
ip link set lo up
. /srv/company.sh
install -m 600 public.key /etc/edgeseal/public.key
sed -i 's/"127.0.0.1:/"0.0.0.0:/' /etc/edgeseal/edgeseal.toml
{ set +x; } 2> /dev/null
pin=$(cat /etc/edgeseal/pin)
runuser -u "$AS" -- softhsm2-util --init-token --free --label edgeseal --so-pin "$pin" --pin "$pin"
set -x
chown -R 10001 /etc/edgeseal

# Not runuser: the signal is for the signer itself.
setpriv --reuid "$AS" --regid "$AS" --init-groups $SERVE &
curl --silent --show-error --fail --retry 60 --retry-delay 1 --retry-all-errors https://signer.example.com:8443/readyz
runuser -u "$AS" -- edgeseal doctor --no-speed
curl --silent --show-error --fail https://signer.example.com:8443/.well-known/jwks.json | jq --exit-status '.keys | length >= 1'
# What has to outlive the container is in the volume.
find "$VOLUME" -type f | sort | tee /run/edgeseal-test/volume
kill -s "${STOP#SIG}" $!
wait $!
