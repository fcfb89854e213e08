package meter

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestPublicAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"203.0.113.1": true, "8.8.8.8": true, "2001:db8::1": true, "2a00:1450::1": true, "100.63.255.255": true, "100.128.0.0": true,
		"10.0.0.1": false, "172.16.0.1": false, "172.32.0.1": true, "192.168.4.94": false, "100.64.0.0": false, "100.127.255.255": false,
		"fd7a:115c:a1e0::1": false, "fe80::1": false, "169.254.1.1": false, "127.0.0.1": false, "::1": false, "0.0.0.0": false, "::": false,
		"224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false, "0.1.2.3": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public is %t; want %t", text, got, want)
		}
	}
}

// However a list repeats and mixes them, what counts are the addresses that differ.
func TestAddressesCountOnce(t *testing.T) {
	m := compiled(t, patchedText(t, small, `dimensions: [{name: all, unit: count, quantity: size(distinctAddresses(self.list))}, {name: public, unit: count, quantity: size(publicAddresses(self.list))}]`))
	notations := map[string][]string{
		"203.0.113.7": {"203.0.113.7", "::ffff:203.0.113.7"}, "2001:db8::1": {"2001:db8::1", "2001:DB8:0:0::1"}, "10.0.0.1": {"10.0.0.1"}, "fd00::1": {"fd00::1", "fd00:0::1"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		all, public := map[string]bool{}, map[string]bool{}
		var list []any
		for range rapid.IntRange(0, 20).Draw(rt, "length") {
			address := rapid.SampledFrom([]string{"203.0.113.7", "2001:db8::1", "10.0.0.1", "fd00::1", "", "a.example"}).Draw(rt, "address")
			if same := notations[address]; same != nil {
				all[address] = true
				public[address] = address == "203.0.113.7" || address == "2001:db8::1"
				address = rapid.SampledFrom(same).Draw(rt, "notation")
			}
			list = append(list, address)
		}
		o := object(t, thing)
		o.Object["list"] = list
		members, err := m.Read(o)
		if err != nil {
			rt.Fatal(err)
		}
		wanted := 0
		for _, is := range public {
			if is {
				wanted++
			}
		}
		if got := members[0].Levels; got[0] != int64(1000*len(all)) || got[1] != int64(1000*wanted) {
			rt.Errorf("%v: got %v; want %d and %d", list, got, len(all), wanted)
		}
	})
}
