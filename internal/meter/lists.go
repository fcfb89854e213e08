package meter

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	netutils "k8s.io/utils/net"
)

// listFunctions tell things from entries of a list: a list may repeat one, and
// have names beside addresses.
var listFunctions = []*function{
	{
		name: "distinctAddresses", args: []*cel.Type{cel.ListType(cel.DynType)}, result: cel.ListType(cel.StringType),
		call: func(args ...ref.Val) ref.Val { return addresses(args[0], func(netip.Addr) bool { return true }) },
		cost: listCost, most: assumedLength * addressCost,
	},
	{
		name: "publicAddresses", args: []*cel.Type{cel.ListType(cel.DynType)}, result: cel.ListType(cel.StringType),
		call: func(args ...ref.Val) ref.Val { return addresses(args[0], isPublic) },
		cost: listCost, most: assumedLength * addressCost,
	},
	{
		name: "joinDistinct", args: []*cel.Type{cel.ListType(cel.DynType)}, result: cel.StringType,
		call: func(args ...ref.Val) ref.Val { return joinDistinct(args[0]) },
		cost: listCost, most: assumedLength * addressCost,
	},
	{
		name: "joinAddresses", args: []*cel.Type{cel.ListType(cel.DynType)}, result: cel.StringType,
		call: func(args ...ref.Val) ref.Val { return joinAddresses(args[0]) },
		cost: listCost, most: assumedLength * addressCost,
	},
}

// addressCost is what an address costs to read, in CEL's units.
const addressCost = 10

func listCost(args []ref.Val) uint64 {
	if list, ok := args[0].(traits.Lister); ok {
		return addressCost * uint64(1+max(0, list.Size().(types.Int)))
	}
	return addressCost
}

// joinDistinct are the texts of a list, each once, sorted, with commas between
// them: lists of the same texts give the same one.
func joinDistinct(value ref.Val) ref.Val {
	list, ok := value.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	var texts []string
	for it := list.Iterator(); it.HasNext() == types.True; {
		if text, _ := it.Next().Value().(string); text != "" {
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return types.String(strings.Join(slices.Compact(texts), ","))
}

// joinAddresses is one text for the addresses of a list: where it has IP addresses
// those, for it may have names for them beside, and else its names.
func joinAddresses(value ref.Val) ref.Val {
	found, ok := addresses(value, func(netip.Addr) bool { return true }).(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	if found.Size() == types.Int(0) {
		return joinDistinct(value)
	}
	return joinDistinct(found.(ref.Val))
}

// addresses are those of a list that are wanted, each once, in the order of the
// list and in canonical form. What is no address (a name, null, "") is left out.
func addresses(value ref.Val, wanted func(netip.Addr) bool) ref.Val {
	list, ok := value.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	seen := map[netip.Addr]struct{}{}
	found := []string{}
	for it := list.Iterator(); it.HasNext() == types.True; {
		text, _ := it.Next().Value().(string)
		address, is := parseAddress(text)
		if !is {
			continue
		}
		if _, again := seen[address]; again || !wanted(address) {
			continue
		}
		seen[address] = struct{}{}
		found = append(found, address.String())
	}
	return types.NewStringList(types.DefaultTypeAdapter, found)
}

// nat64 has the addresses of IPv4 in IPv6, by which it is reached from there.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// parseAddress reads an address in any notation that the API server has ever taken
// (203.0.113.007), in canonical form: ::ffff:192.0.2.1 and 64:ff9b::c000:201 are
// 192.0.2.1.
func parseAddress(text string) (address netip.Addr, is bool) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		if address, is = netip.AddrFromSlice(netutils.ParseIPSloppy(text)); !is {
			return address, false
		}
	}
	address = address.Unmap().WithZone("")
	if nat64.Contains(address) {
		sixteen := address.As16()
		address = netip.AddrFrom4([4]byte(sixteen[12:]))
	}
	return address, true
}

// notPublic are what the internet does not route, beside what netip.Addr says:
// IANA's special-purpose registries, but for the documentation's own addresses.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT, and overlay networks
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), // protocols' own: Teredo, benchmarks, ORCHID
	netip.MustParsePrefix("2002::/16"), // 6to4
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

func isPublic(address netip.Addr) bool {
	if !address.IsGlobalUnicast() || address.IsPrivate() {
		return false
	}
	for _, prefix := range notPublic {
		if prefix.Contains(address) {
			return false
		}
	}
	return true
}
