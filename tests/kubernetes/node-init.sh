#!/bin/bash
# Process 1 of a node's namespaces: makes them look like a machine of its own, and starts Kubernetes in it. Nothing of
# the host's files, network, mounts or control groups is touched, and all ends with this process.
#
#   node-init.sh STATE PROGRAMS    both absolute; STATE on a real disk
set -eu
state=$1 programs=$2
export PATH="$programs:$PATH:/usr/sbin:/sbin"
log=$state/log
mkdir -p "$log"

hostname node1
ip link set lo up
ip addr add 10.77.0.1/32 dev lo          # the node's address: a kubelet takes no loopback one
ip addr add 169.254.169.254/32 dev lo    # for the metadata service

mkdir -p "$state"/var-{lib/dpkg,log}
mount --bind /var/lib/dpkg "$state/var-lib/dpkg"   # what is installed can be seen
for folder in lib log; do mount --rbind "$state/var-$folder" "/var/$folder"; done
mount -t tmpfs tmpfs /run
mkdir -p /run/{cni,lock,dev}

# a /dev of its own, so that /dev/disk/by-id can be made
mount -t tmpfs -o mode=755,dev tmpfs /run/dev
for device in /dev/{null,zero,full,random,urandom,tty,kmsg,fuse,loop*}; do
  if [ -c "$device" ] || [ -b "$device" ]; then cp -a "$device" /run/dev/; fi
done
mkdir -p /run/dev/{pts,shm,mqueue,disk/by-id}
ln -s /proc/self/fd /run/dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${number%:*}" "/run/dev/${number#*:}"; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /run/dev/pts
ln -s pts/ptmx /run/dev/ptmx
mount -t tmpfs tmpfs /run/dev/shm
mount --move /run/dev /dev

# the control groups as this namespace sees them
for group in /sys/fs/cgroup/*; do
  name=$(basename "$group")
  umount "$group"
  case $name in
    unified) mount -t cgroup2 cgroup2 "$group" ;;
    systemd) mount -t cgroup -o none,name=systemd cgroup "$group" ;;
    *) mount -t cgroup -o "$name" cgroup "$group" ;;
  esac
  mkdir -p "$group/osbackup-node"
done
for kind in cpus mems; do cat /sys/fs/cgroup/cpuset/cpuset.$kind > /sys/fs/cgroup/cpuset/osbackup-node/cpuset.$kind; done
mount --make-rshared /

keys=/run/keys
mkdir $keys
openssl genrsa -out $keys/accounts.key 2048 2> /dev/null
openssl rsa -in $keys/accounts.key -pubout -out $keys/accounts.pub 2> /dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=apiserver -keyout $keys/server.key -out $keys/server.crt \
  -addext 'subjectAltName=IP:127.0.0.1,IP:10.77.0.1,IP:10.0.0.1,DNS:kubernetes.default.svc' 2> /dev/null
token() { head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
kubeconfig() { # file token
  cat > "$1" << END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://10.77.0.1:6443", certificate-authority: $keys/server.crt}}]
users: [{name: user, user: {token: $2}}]
contexts: [{name: test, context: {cluster: test, user: user}}]
current-context: test
END
}
admin=$(token) node=$(token)
printf '%s,admin,admin,system:masters\n%s,system:node:node1,node1,system:nodes\n' "$admin" "$node" > $keys/tokens.csv
kubeconfig /run/admin.kubeconfig "$admin"
kubeconfig /run/kubelet.kubeconfig "$node"

cat > /run/cni/10-ptp.conflist << 'END'
{"cniVersion": "0.4.0", "name": "node", "plugins": [{"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local",
  "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni-networks"}}]}
END
# root here may lack CAP_SYS_RESOURCE, without which no score can be lowered and no sandbox starts
cat > /run/containerd.toml << 'END'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/run/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
END
touch /run/resolv.conf
cat > /run/kubelet.yaml << 'END'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /osbackup-node
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
resolvConf: /run/resolv.conf
readOnlyPort: 0
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
nodeStatusUpdateFrequency: 4s
END

start() { # log command…
  "${@:2}" > "$log/$1.log" 2>&1 &
}
start etcd etcd --data-dir /var/lib/etcd --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --logger zap
start containerd containerd --config /run/containerd.toml
start kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --secure-port 6443 --bind-address 0.0.0.0 \
  --advertise-address 10.77.0.1 --tls-cert-file $keys/server.crt --tls-private-key-file $keys/server.key \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file $keys/accounts.pub \
  --service-account-signing-key-file $keys/accounts.key --token-auth-file $keys/tokens.csv \
  --authorization-mode Node,RBAC --service-cluster-ip-range 10.0.0.0/24 --allow-privileged=true \
  --kubelet-preferred-address-types InternalIP
until ctr version > /dev/null 2>&1; do sleep 0.1; done
for image in "$state"/images/*.tar; do ctr -n k8s.io images import "$image" >> "$log/images.log" 2>&1; done
until curl -sf --cacert $keys/server.crt -H "Authorization: Bearer $admin" https://127.0.0.1:6443/readyz > /dev/null; do
  sleep 0.1
done
start kube-controller-manager kube-controller-manager --kubeconfig /run/admin.kubeconfig --leader-elect=false \
  --service-account-private-key-file $keys/accounts.key --root-ca-file $keys/server.crt --bind-address 127.0.0.1
start kube-scheduler kube-scheduler --kubeconfig /run/admin.kubeconfig --leader-elect=false --bind-address 127.0.0.1
# as an init system would, begun again when it dies
for_ever() { while :; do "$@" || sleep 1; done; }
start kubelet for_ever kubelet --config /run/kubelet.yaml --kubeconfig /run/kubelet.kubeconfig --hostname-override node1 \
  --node-ip 10.77.0.1
touch "$state/started"
trap 'exit 0' TERM INT
while :; do wait -n || true; sleep 0.2; done
