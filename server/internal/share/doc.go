// Package share divides what requests hold, such as the bytes of bodies, among tenants
// and the client networks of their visitors, and ends transfers that are too slow for the
// room that is left.
//
// A tenant may hold as much as it leaves free, and so may a client network; of one tenant's
// part a network may hold as much as it leaves to the tenant's other visitors. So the one who
// holds much always leaves room for those who come later: alone, a tenant gets half of the
// pool, and one network at one tenant a third.
//
// A transfer has a grace time and a least rate. Both are generous while there is room, and get
// strict as the pool, or the part of the tenant or the network, fills up. A request that finds no room has the
// slowest transfer abandoned that is in its way, of the network that holds most, and waits
// a moment for it.
//
// The package starts no goroutine: the owner of a Pool calls Sweep. Locks: a Pool's mu, and
// apart from it a Hold's.
package share
