// Package members knows which edges are members of the cluster, how many copies of each
// stream exist and which of them are behind, and removes an edge that does not come back.
//
// A member that is lost for good still counts: the cluster needs a majority of all its
// members, and the streams of the lost edge have one copy less. Forget removes it. The
// cluster's leader then gives its copies to other members, which fetch them. An edge that
// joins later takes over what is missing.
//
// The edge that leads the cluster forgets a member by itself when three things hold: the
// member was not heard for Options.ForgetAfter, enough members are live without it to hold
// all copies, and every other copy is current. So it is done one member at a time.
//
// Run holds one goroutine, which asks the leader every two seconds. Status is what it was
// told last, and waits for nothing.
package members
