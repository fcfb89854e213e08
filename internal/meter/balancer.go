package meter

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// balancerFunctions tell which load balancer a Service or a Gateway is reached by.
var balancerFunctions = []*function{{
	name: "loadBalancer", args: []*cel.Type{cel.DynType}, result: cel.StringType,
	call: func(args ...ref.Val) ref.Val {
		object, _ := args[0].Value().(map[string]any)
		return types.String(loadBalancer(object))
	},
	cost: balancerCost, most: assumedLength * addressCost,
}}

func balancerCost(args []ref.Val) uint64 {
	object, _ := args[0].Value().(map[string]any)
	spec, status := branch(object, "spec"), branch(object, "status")
	return addressCost * uint64(3+len(items(spec, "ports"))+len(items(spec, "listeners"))+
		len(items(status, "addresses"))+len(items(branch(status, "loadBalancer"), "ingress")))
}

// loadBalancer names the load balancer by what it is reached at, an address and a
// port, which no two can have: a Gateway that is served by a Service of others, and
// that Service, have one name. What has no address is one by itself, by its UID.
func loadBalancer(object map[string]any) string {
	address := frontAddress(object)
	if address == "" {
		return entry(branch(object, "metadata"), "uid")
	}
	return address + "/" + frontPort(object)
}

// frontAddress is the first of an object's addresses: those of IPv4 go first, and
// names last, so that the order in which controllers write them does not matter.
func frontAddress(object map[string]any) string {
	status := branch(object, "status")
	var first netip.Addr
	name := ""
	consider := func(text string) {
		address, is := parseAddress(text)
		if !is {
			if text = strings.ToLower(text); name == "" || text != "" && text < name {
				name = text
			}
			return
		}
		if !first.IsValid() || address.Less(first) { // IPv4 is less than IPv6
			first = address
		}
	}
	for _, item := range items(branch(status, "loadBalancer"), "ingress") {
		consider(entry(branch(item), "ip"))
		consider(entry(branch(item), "hostname"))
	}
	for _, item := range items(status, "addresses") {
		consider(entry(branch(item), "value"))
	}
	if first.IsValid() {
		return first.String()
	}
	return name
}

// frontPort tells which of several load balancers at one address it is: "web" where
// it serves 80 or 443, or else its first port.
func frontPort(object map[string]any) string {
	spec := branch(object, "spec")
	// Traefik's Gateways name the ports of its pods, and are reached at those of its Service.
	traefik := strings.Contains(entry(spec, "gatewayClassName"), "traefik")
	least, protocol := int64(1<<16), ""
	for _, item := range slices.Concat(items(spec, "ports"), items(spec, "listeners")) {
		port, _ := whole(branch(item)["port"])
		by := entry(branch(item), "protocol")
		if by != "UDP" && by != "SCTP" {
			by = "TCP" // HTTP, HTTPS, TLS
		}
		if by == "TCP" && (port == 80 || port == 443 || traefik && (port == 8000 || port == 8443)) {
			return "web"
		}
		if port < least || port == least && by < protocol {
			least, protocol = port, by
		}
	}
	return protocol + strconv.FormatInt(least, 10)
}
