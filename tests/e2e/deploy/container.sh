# On a copy of this machine, in /srv/edgeseal: the commands of the Containerfile's first lines ($BUILD, $TOKEN, $OWNER, $RUN), by podman.
# No registry is asked: the images that it begins with ($RUST, $DEBIAN) are made of Debian's packages and this machine's compiler and crates.
. /srv/company.sh
cd /srv/edgeseal
apt-get -qq update
apt-get -qq install --yes --no-install-recommends podman runc netavark iptables mmdebstrap
printf '[storage]\ndriver = "overlay"\ngraphroot = "/run/edgeseal-test/storage"\nrunroot = "/run/containers"\n' > /etc/containers/storage.conf
trap 'umount --quiet /run/edgeseal-test/storage/overlay || true; rm -rf /run/edgeseal-test/storage' EXIT
# Where limits cannot be raised, and cgroups are of the first version, which a copy may only read.
for group in $(findmnt --list --noheadings --output TARGET --types cgroup); do mount -o remount,bind,rw "$group"; done
engine='default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\n'
printf "[containers]\n$engine" > /etc/containers/containers.conf
printf "[containers]\nnetns = \"host\"\nvolumes = [\"/srv/rust:/srv/rust:ro\", \"/srv/crates:/srv/cargo/registry:ro\"]\n$engine" > /srv/build.conf
export CONTAINERS_CONF=/srv/build.conf

mmdebstrap --quiet --variant=apt --include=ca-certificates bookworm - | podman import --quiet - "$DEBIAN"
# Not optimized, to be there sooner.
podman build --tag "$RUST" - << END
FROM $DEBIAN
RUN apt-get -qq update && apt-get -qq install -y --no-install-recommends gcc libc6-dev
ENV PATH=/srv/rust/bin:/usr/sbin:/usr/bin CARGO_HOME=/srv/cargo CARGO_NET_OFFLINE=true
ENV CARGO_PROFILE_RELEASE_OPT_LEVEL=0
END
$BUILD
unset CONTAINERS_CONF

# A network of its own, in which the ports are free.
mount -o remount,rw /proc/sys
unshare --net sh -eux /srv/container-run.sh
