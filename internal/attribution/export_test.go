package attribution

// Empty tells whether the graph keeps nothing at all.
func (g *Graph) Empty() bool {
	return len(g.vertices)+len(g.families)+len(g.seeds)+len(g.claims)+len(g.gateways)+
		len(g.backends)+len(g.districts)+len(g.labels.numbers) == 0
}
