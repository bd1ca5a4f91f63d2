# On a copy of this machine, as root: the signer's unit and the agent's, as their first lines and the README's "Run it" say.
. /srv/company.sh

# The signer. SoftHSM's tokens are for a group, and in files: the unit says what to take in then.
useradd --system --groups softhsm edgeseal
install -o root -g edgeseal -m 640 public.key /etc/edgeseal/public.key
{ set +x; } 2> /dev/null
pin=$(cat /etc/edgeseal/pin)
runuser -u edgeseal -- softhsm2-util --init-token --free --label edgeseal --so-pin "$pin" --pin "$pin"
set -x
mkdir /etc/systemd/system/edgeseal.service.d
{ echo "[Service]"; sed -n 's/^#\(ReadWritePaths=\)/\1/p' /etc/systemd/system/edgeseal.service; } > /etc/systemd/system/edgeseal.service.d/softhsm.conf
printf '\n[enrolment]\nsigners = ["https://signer.example.com:8444"]\n' >> /etc/edgeseal/edgeseal.toml
systemd-analyze verify --man=no edgeseal.service edgeseal-agent.service 2> /run/edgeseal-test/warnings
systemctl daemon-reload
systemctl enable --now edgeseal
ready="curl --silent --show-error --fail --retry 60 --retry-delay 1 --retry-all-errors https://signer.example.com:8443/readyz"
$ready

# The agent, by a one-time code.
useradd --system edgeseal-agent
install -d -o edgeseal-agent -g edgeseal-agent -m 700 /var/lib/edgeseal-agent
{ set +x; } 2> /dev/null
edgeseal agents invite web --profile default > /root/code
runuser -u edgeseal-agent -- edgeseal agent enroll --url https://signer.example.com:8443 --out /var/lib/edgeseal-agent < /root/code > /etc/edgeseal/agent.toml
set -x
useradd --system --groups edgeseal-agent shop
echo "users = [$(id -u shop)]" >> /etc/edgeseal/agent.toml
systemctl enable --now edgeseal-agent
ask() {
    runuser -u shop -- curl --silent --show-error --fail --retry 20 --retry-delay 1 --retry-all-errors --unix-socket /run/edgeseal/agent.sock \
        --data '{"profile":"default","audience":"https://api.example.com","claims":{"sub":"alice"}}' http://agent/v1/tokens
}
ask | tee answer
jq --raw-output --exit-status .token answer > token
curl --silent --show-error --fail https://signer.example.com:8443/.well-known/jwks.json > jwks.json
edgeseal verify - --jwks jwks.json --issuer https://signer.example.com --audience https://api.example.com --alg ES256 < token

# Both come again after a kill, and end by themselves when they are told to.
systemctl kill --signal=SIGKILL edgeseal edgeseal-agent
sleep 6
$ready
ask > /dev/null
edgeseal doctor --no-speed
systemctl stop edgeseal-agent edgeseal
systemctl show --property=Result --value edgeseal edgeseal-agent | tee /run/edgeseal-test/results
edgeseal audit export --out export.jsonl
edgeseal audit verify export.jsonl

# Neither PIN nor code is in what was logged, or in the units' properties.
{ set +x; } 2> /dev/null
{ journalctl --boot --no-pager; systemctl show edgeseal edgeseal-agent; } > /root/logged
grep -c "edgeseal" /root/logged
for secret in "$pin" "$(head -n 1 /root/code)"; do
    ! grep --quiet --fixed-strings -e "$secret" /root/logged || { echo "a secret was logged"; exit 1; }
done
