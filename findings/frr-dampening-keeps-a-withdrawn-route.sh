#!/bin/sh
# FRR bgpd 8.4.4 with `bgp dampening`: a route that becomes suppressed by a change of its
# attributes stays the best path and stays in the kernel, and the WITHDRAW that follows
# changes nothing. Traffic goes on to a router that has left; only the end of the BGP
# session removes the route. A route that is suppressed by a withdrawal behaves as RFC 2439
# says. It meets everyone who sends GRACEFUL_SHUTDOWN (RFC 8326), which is such a change,
# before a withdrawal.
#
# Seen after a change of attributes and the WITHDRAW, from `show bgp ipv4 unicast`, where
# "h" is history, and from `ip route` at FRR:
#   h 203.0.113.7/32   10.9.0.2                        0      0 65001 i
#   203.0.113.7 nhid 6 via 10.9.0.2 dev f proto bgp metric 20
#
# Needs root, ip(8), unshare(1), and apt-get with Debian 12's packages. BIRD, which announces,
# and FRR run in two network namespaces. Exit status 0: the behavior is as described.
set -eu
[ "${INSIDE:-}" ] || INSIDE=1 exec unshare --mount "$0" # FRR's users are of this mount namespace only
frr=8.4.4-1.1~deb12u2 bird=2.0.12-7
dir=$(mktemp -d)
chmod 755 "$dir"
a=fnd$$a b=fnd$$b
pids=
finish() {
	for p in $pids; do kill "$p" 2>/dev/null || true; done
	for p in $pids; do wait "$p" 2>/dev/null || true; done
	ip netns del $a 2>/dev/null || true
	ip netns del $b 2>/dev/null || true
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' INT TERM

cd "$dir"
apt-get download -qq frr=$frr bird2=$bird libyang2 libjson-c5 libc-ares2 libreadline8 libcap2 libssh-gcrypt-4 >/dev/null
for p in *.deb; do dpkg -x "$p" root; done
LD_LIBRARY_PATH=$(find "$dir/root" -name '*.so*' -exec dirname {} \; | sort -u | tr '\n' ':')
export LD_LIBRARY_PATH
mkdir run
for f in passwd group; do cp /etc/$f $f; done
grep -q ^frr: passwd || echo 'frr:x:64991:64991::/nonexistent:/usr/sbin/nologin' >>passwd
grep -q ^frr: group || echo 'frr:x:64991:' >>group
grep -q ^frrvty: group || echo 'frrvty:x:64992:frr' >>group
for f in passwd group; do mount --bind $f /etc/$f; done
chown frr:frr run

ip netns add $a
ip netns add $b
ip -n $a link add f type veth peer name e netns $b
ip -n $a addr add 10.9.0.1/24 dev f
ip -n $b addr add 10.9.0.2/24 dev e
for n in $a $b; do ip -n $n link set lo up; done
ip -n $a link set f up
ip -n $b link set e up

cat >frr.conf <<X
router bgp 64512
 bgp router-id 10.9.0.1
 no bgp ebgp-requires-policy
 neighbor 10.9.0.2 remote-as 65001
 address-family ipv4 unicast
  bgp dampening 15 750 1400 60
X
chmod 644 frr.conf
bird_conf() { # bird_conf STATIC-ROUTE
	cat >bird.conf <<X
router id 10.9.0.2;
protocol device { }
protocol static { ipv4; $1 }
protocol bgp { local 10.9.0.2 as 65001; neighbor 10.9.0.1 as 64512; ipv4 { import none; export all; }; }
X
}
for d in zebra bgpd; do
	ip netns exec $a "root/usr/lib/frr/$d" -f frr.conf -i "$dir/run/$d.pid" -z "$dir/run/zserv" --vty_socket "$dir/run" -A 127.0.0.1 --log "file:$dir/$d.log" >"$d.out" 2>&1 &
	pids="$pids $!"
	until [ -S "run/$d.vty" ]; do kill -0 $! || { cat "$d.out"; exit 1; }; sleep 0.1; done
done
bird_conf ''
ip netns exec $b root/usr/sbin/bird -f -c bird.conf -s run/bird.ctl >bird.out 2>&1 &
pids="$pids $!"

show() { root/usr/bin/vtysh --vty_socket "$dir/run" -d bgpd -c 'show bgp ipv4 unicast' 2>/dev/null; }
penalty() { root/usr/bin/vtysh --vty_socket "$dir/run" -d bgpd -c 'show bgp ipv4 unicast 203.0.113.7/32' 2>/dev/null; }
announce() { # announce ROUTE-OPTIONS: BIRD announces the route, or nothing
	bird_conf "$1"
	root/usr/sbin/birdc -s run/bird.ctl configure >/dev/null
}
eventually() { # eventually DESCRIPTION COMMAND...: waits up to 30 s
	what=$1
	shift
	i=0
	until "$@"; do
		i=$((i + 1))
		[ $i -lt 150 ] || { echo "never seen: $what"; show; penalty; exit 1; }
		sleep 0.2
	done
}
kernel() { ip -n $a route show 203.0.113.7 | grep -q via; }
no_kernel() { ! kernel; }
shown() { penalty | grep -q "$1"; }

eventually "BIRD answers" test -S run/bird.ctl
announce 'route 203.0.113.7/32 blackhole;'
eventually "the route" kernel
announce ''
eventually "its withdrawal" no_kernel
announce 'route 203.0.113.7/32 blackhole;'
eventually "the route again" kernel
announce 'route 203.0.113.7/32 blackhole { bgp_community.add((65535,0)); };'
eventually "suppression by the change of attributes" shown suppressed
announce ''
eventually "the withdrawal is noted in the history" shown "history entry"
sleep 3
show | grep 203.0.113.7
ip -n $a route show 203.0.113.7
kernel || { echo "changed: the kernel does not have the withdrawn route"; exit 1; }
kill "${pids##* }" # BIRD: the session ends
eventually "the end of the session removes the route" no_kernel
echo "as described: frr $frr keeps the withdrawn route until the session ends"
