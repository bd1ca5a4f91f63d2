# On a copy of this machine, as root: an authority of one's own, a certificate of it for signer.example.com, and a name for this machine.
mkdir /root/company
cd /root/company
new="openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
$new -x509 -days 90 -subj "/CN=Company" -keyout ca.key -out ca.crt
$new -x509 -days 90 -subj "/CN=Agents of the company" -keyout agents-ca.key -out agents-ca.crt
$new -subj "/CN=signer.example.com" -addext "subjectAltName=DNS:signer.example.com" -keyout public.key -out public.csr
openssl x509 -req -in public.csr -CA ca.crt -CAkey ca.key -days 90 -copy_extensions copy -out public.crt
cp ca.crt /usr/local/share/ca-certificates/company.crt
update-ca-certificates
echo "127.0.0.1 signer.example.com" >> /etc/hosts

mkdir -p /etc/edgeseal
install -m 644 public.crt agents-ca.crt /etc/edgeseal/
# The settings of the signer's README, as they stand there.
sed -n '/^<!-- settings -->/,/^```$/p' /usr/share/doc/edgeseal/README.md | grep -v -e '^<!--' -e '^```' > /etc/edgeseal/edgeseal.toml
{ set +x; } 2> /dev/null
head -c 12 /dev/urandom | base64 | tr -d '\n' > /etc/edgeseal/pin
chmod 600 /etc/edgeseal/pin
set -x
