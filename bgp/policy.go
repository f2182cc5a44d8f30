package bgp

import (
	"context"
	"fmt"
	"net/netip"

	apipb "github.com/osrg/gobgp/v3/api"
)

const (
	importPolicy     = "import"
	exportPolicy     = "export"
	gracefulShutdown = "65535:0" // RFC 8326
	shutdownSet      = "graceful-shutdown"
	defaultPref      = 100
)

// installPolicies makes the speaker reject whatever it is not told to accept: on
// import all but its own routes, on export all but its own prefixes, each to
// the neighbors that take its family.
func (s *speaker) installPolicies(ctx context.Context) error {
	o := s.opts
	sets := []*apipb.DefinedSet{{DefinedType: apipb.DefinedType_COMMUNITY, Name: shutdownSet, List: []string{"^" + gracefulShutdown + "$"}}}
	byFamily := make(map[family]*apipb.DefinedSet)
	for _, p := range o.Prefixes {
		fam := familyOf(p.Addr())
		if byFamily[fam] == nil {
			byFamily[fam] = &apipb.DefinedSet{DefinedType: apipb.DefinedType_PREFIX, Name: fam.String()}
			sets = append(sets, byFamily[fam])
		}
		byFamily[fam].Prefixes = append(byFamily[fam].Prefixes, &apipb.Prefix{
			IpPrefix: p.String(), MaskLengthMin: uint32(p.Bits()), MaskLengthMax: uint32(p.Bits()),
		})
	}
	var statements []*apipb.Statement
	for _, g := range s.guards {
		host := netip.PrefixFrom(g.self, g.self.BitLen()).String()
		sets = append(sets, &apipb.DefinedSet{DefinedType: apipb.DefinedType_NEIGHBOR, Name: g.self.String(), List: []string{host}})
		for _, fam := range o.families(g.n) {
			statements = append(statements, g.exportStatements(fam)...)
		}
	}
	for _, set := range sets {
		if err := s.call(ctx, func() error {
			return s.srv.AddDefinedSet(ctx, &apipb.AddDefinedSetRequest{DefinedSet: set})
		}); err != nil {
			return fmt.Errorf("define %s: %w", set.Name, err)
		}
	}
	own := []*apipb.Statement{{
		Name:       "own",
		Conditions: &apipb.Conditions{RouteType: apipb.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &apipb.Actions{RouteAction: apipb.RouteAction_ACCEPT},
	}}
	if err := s.assign(ctx, importPolicy, apipb.PolicyDirection_IMPORT, own); err != nil {
		return err
	}
	return s.assign(ctx, exportPolicy, apipb.PolicyDirection_EXPORT, statements)
}

func (s *speaker) assign(ctx context.Context, name string, dir apipb.PolicyDirection, statements []*apipb.Statement) error {
	policy := &apipb.Policy{Name: name, Statements: statements}
	return s.call(ctx, func() error {
		if err := s.srv.AddPolicy(ctx, &apipb.AddPolicyRequest{Policy: policy}); err != nil {
			return fmt.Errorf("policy %s: %w", name, err)
		}
		return s.srv.SetPolicyAssignment(ctx, &apipb.SetPolicyAssignmentRequest{Assignment: &apipb.PolicyAssignment{
			Name: "global", Direction: dir, Policies: []*apipb.Policy{policy}, DefaultAction: apipb.RouteAction_REJECT,
		}})
	})
}

// exportStatements are how prefixes of the family go to the neighbor. A drained
// route keeps the lowest local preference, whatever the neighbor's is. For a neighbor
// without GRACEFUL_SHUTDOWN it has the attributes of any other time.
func (g *guard) exportStatements(fam family) []*apipb.Statement {
	n := g.n
	actions := func() *apipb.Actions {
		a := &apipb.Actions{RouteAction: apipb.RouteAction_ACCEPT}
		c, _ := parseCommunities(n.Communities) // validated by New
		switch {
		case n.NoGracefulShutdown && len(c.standard) > 0:
			a.Community = &apipb.CommunityAction{Type: apipb.CommunityAction_REPLACE, Communities: c.standard}
		case n.NoGracefulShutdown:
			a.Community = &apipb.CommunityAction{Type: apipb.CommunityAction_REMOVE, Communities: []string{gracefulShutdown}}
		case len(c.standard) > 0:
			a.Community = &apipb.CommunityAction{Type: apipb.CommunityAction_ADD, Communities: c.standard}
		}
		if len(c.large) > 0 {
			a.LargeCommunity = &apipb.CommunityAction{Type: apipb.CommunityAction_ADD, Communities: c.large}
		}
		if n.MED != nil {
			a.Med = &apipb.MedAction{Type: apipb.MedAction_REPLACE, Value: int64(*n.MED)}
		}
		if n.Prepend > 0 {
			a.AsPrepend = &apipb.AsPrependAction{Asn: g.opts.ASN, Repeat: uint32(n.Prepend)}
		}
		nextHop := n.nextHop(fam)
		if !nextHop.IsValid() {
			nextHop = sessionNextHop(fam)
		}
		a.Nexthop = &apipb.NexthopAction{Address: nextHop.String()}
		return a
	}
	conditions := func() *apipb.Conditions {
		return &apipb.Conditions{
			PrefixSet:   &apipb.MatchSet{Type: apipb.MatchSet_ANY, Name: fam.String()},
			NeighborSet: &apipb.MatchSet{Type: apipb.MatchSet_ANY, Name: g.self.String()},
			RouteType:   apipb.Conditions_ROUTE_TYPE_LOCAL,
		}
	}
	name := fmt.Sprintf("%v-%v", g.self, fam)
	normal := &apipb.Statement{Name: name, Conditions: conditions(), Actions: actions()}
	switch {
	case n.LocalPref != nil:
		normal.Actions.LocalPref = &apipb.LocalPrefAction{Value: *n.LocalPref}
	case n.NoGracefulShutdown && n.ASN == g.opts.ASN:
		normal.Actions.LocalPref = &apipb.LocalPrefAction{Value: defaultPref}
	}
	if n.LocalPref == nil || n.NoGracefulShutdown {
		return []*apipb.Statement{normal}
	}
	drained := &apipb.Statement{Name: name + "-drained", Conditions: conditions(), Actions: actions()}
	drained.Conditions.CommunitySet = &apipb.MatchSet{Type: apipb.MatchSet_ANY, Name: shutdownSet}
	return []*apipb.Statement{drained, normal}
}
