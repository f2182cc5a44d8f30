package edge

import "context"

// logListeners logs the addresses that were bound, once all are: what a port 0 of the
// configuration became is known only then. It returns when ctx ends.
func (e *Edge) logListeners(ctx context.Context) error {
	bound := []<-chan struct{}{e.Server.Ready()}
	if e.Admin != nil {
		bound = append(bound, e.Admin.Bound())
	}
	if e.GitHost != nil {
		bound = append(bound, e.GitHost.Ready())
	}
	for _, ready := range bound {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
	plain, secure := e.Server.Addrs()
	log := e.log.With("http", plain, "https", secure)
	if e.Admin != nil {
		log = log.With("admin", e.Admin.Addr())
	}
	if e.GitHost != nil && e.GitHost.SSHAddr() != nil {
		log = log.With("git_ssh", e.GitHost.SSHAddr())
	}
	log.Info("edge listens")
	<-ctx.Done()
	return nil
}
