package controlplane

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are below the range from which Linux (32768 on) and macOS (49152 on) choose ports for outgoing connections.
// In that range, while a component is down, a client that keeps trying to reach it could take its port, even by
// connecting to itself, and the component could not come back on it.
const (
	lowestPort = 16384
	beyondPort = 32768
)

// freePorts returns that many loopback ports which nothing listens on.
func freePorts(count int) ([]int, error) {
	var ports []int
	for _, offset := range rand.Perm(beyondPort - lowestPort) {
		listener, err := net.Listen("tcp", address(lowestPort+offset))
		if err != nil {
			continue
		}
		// Held until all are chosen, so that no other start chooses them meanwhile.
		defer listener.Close()
		ports = append(ports, lowestPort+offset)
		if len(ports) == count {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports on 127.0.0.1 from %d to %d: only %d are free", count, lowestPort, beyondPort-1, len(ports))
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
