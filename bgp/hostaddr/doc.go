// Package hostaddr checks that the anycast addresses are on this host, and puts
// them on its loopback when it is asked to own them.
//
// A prefix that is announced while its address is absent is a black hole, or a
// loop where the host forwards: Check belongs among the conditions of the
// announcement. A Manager needs CAP_NET_ADMIN; without it, it says so, keeps
// trying, and Check keeps the edge from announcing.
//
// Hosts that share a segment with clients should not answer ARP for an address on
// the loopback: net.ipv4.conf.all.arp_ignore=1 and arp_announce=2.
package hostaddr
