package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// BIRD is a BIRD 2 router: it puts what its neighbors announce into its node's
// routing table.
type BIRD struct {
	node    *Node
	socket  string
	process *Process
}

// Router says how a router speaks BGP.
type Router struct {
	ID        netip.Addr // IPv4
	ASN       uint32
	Hold      time.Duration  // zero: 9 s
	Static    []netip.Prefix // announced to all neighbors
	Neighbors []Neighbor
}

// Neighbor is a peer of a Router on a network that both are attached to.
type Neighbor struct {
	Name     string // of the protocol in BIRD, behind "to_"
	Address  netip.Addr
	ASN      uint32
	Password string
}

const birdConfig = `# A router of the lab.
log stderr all;
debug protocols { states, routes };
router id {{.ID}};
protocol device {}
protocol kernel { ipv4 { export where source = RTS_BGP; }; merge paths on; }
protocol kernel { ipv6 { export where source = RTS_BGP; }; merge paths on; }
protocol static { ipv4;{{range .Static}}{{if .Addr.Is4}} route {{.}} unreachable;{{end}}{{end}} }
protocol static { ipv6;{{range .Static}}{{if .Addr.Is6}} route {{.}} unreachable;{{end}}{{end}} }
template bgp edges {
	local as {{.ASN}};
	hold time {{.HoldSeconds}};
	connect delay time 1;
	connect retry time 1;
	error wait time 1, 2;
}
{{range .Neighbors}}protocol bgp to_{{.Name}} from edges {
	neighbor {{.Address}} as {{.ASN}};{{with .Password}}
	password "{{.}}";{{end}}
	{{if .Address.Is4}}ipv4{{else}}ipv6{{end}} {
		# BIRD leaves GRACEFUL_SHUTDOWN (RFC 8326) to the operator.
		import filter { if (65535, 0) ~ bgp_community then bgp_local_pref = 0; accept; };
		export where source = RTS_STATIC;
	};
}
{{end}}`

// HoldSeconds is Hold in whole seconds, or its default.
func (r Router) HoldSeconds() int {
	if r.Hold == 0 {
		return 9
	}
	return int(r.Hold / time.Second)
}

// StartBIRD starts a router on the node, and returns once it answers questions.
func (n *Node) StartBIRD(ctx context.Context, r Router) (*BIRD, error) {
	var text strings.Builder
	if err := template.Must(template.New("bird.conf").Parse(birdConfig)).Execute(&text, r); err != nil {
		return nil, err
	}
	return n.RunBIRD(ctx, text.String())
}

// RunBIRD is StartBIRD with a whole bird.conf, which logs to stderr.
func (n *Node) RunBIRD(ctx context.Context, text string) (*BIRD, error) {
	config := n.lab.Path(n.name + "-bird.conf")
	b := &BIRD{node: n, socket: n.lab.Path(n.name + "-bird.ctl")}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	var err error
	b.process, err = n.Start(ctx, "bird", "bird", "-f", "-c", config, "-s", b.socket, "-P", n.lab.Path(n.name+"-bird.pid"))
	if err != nil {
		return nil, err
	}
	if _, err := b.process.Line(ctx, "Started"); err != nil {
		return nil, err
	}
	return b, Until(ctx, func(ctx context.Context) error {
		_, err := b.Query(ctx, "show status")
		return err
	})
}

// Stop ends the router, and returns when it has ended.
func (b *BIRD) Stop(ctx context.Context) error {
	return errors.Join(b.process.Signal(syscall.SIGTERM), b.process.Wait(ctx))
}

// Query asks the router over its control socket, such as "show route all".
func (b *BIRD) Query(ctx context.Context, question string) (string, error) {
	return b.node.Run(ctx, "birdc", append([]string{"-r", "-s", b.socket}, strings.Fields(question)...)...)
}

// Learned returns what the router knows of exactly this prefix from its BGP
// neighbors, as "show route all" prints it; empty when it knows no route.
func (b *BIRD) Learned(ctx context.Context, prefix netip.Prefix) (string, error) {
	out, err := b.Query(ctx, fmt.Sprintf("show route all where net = %s && source = RTS_BGP", prefix))
	if err != nil && strings.Contains(out, "Network not found") {
		return "", nil
	}
	if _, table, ok := strings.Cut(out, "Table "); ok {
		return table, err
	}
	return "", err
}
