package memory

// Plan is how an edge divides its memory, in bytes. The zero value says nothing: each part has
// its own default.
type Plan struct {
	Heap    int64 // of Go, bodies included: a soft limit
	Bodies  int64 // of requests and answers
	Modules int64 // compiled
	Idle    int64 // instances without a request
	Guests  int64 // instances with one
}

// Divide makes the Plan for total bytes, which is that of zero if they are unknown. One request
// and its answer have body bytes at most; bodies, unless 0, is what the operator wants for all.
// An eighth is left for the kernel's buffers and for other processes.
func Divide(total, body, bodies int64) Plan {
	if total <= 0 {
		return Plan{}
	}
	p := Plan{Bodies: bodies, Modules: min(1<<30, total/8), Idle: min(256<<20, total/16)}
	if bodies == 0 {
		p.Bodies = max(min(512<<20, total/8), 3*body) // one visitor gets a third
	}
	p.Heap = p.Bodies + min(2<<30, total/4)
	p.Guests = max(total-total/8-p.Heap-p.Modules-p.Idle, total/16)
	return p
}
