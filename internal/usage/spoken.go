package usage

import (
	"cmp"
	"strings"
)

// abbreviations are words of names of dimensions that people write otherwise.
var abbreviations = map[string]string{"vm": "VM", "ip": "IP", "vpc": "VPC", "gpu": "GPU"}

// states are last words of names of dimensions that say what is the matter with what is counted.
var states = map[string]bool{"allocated": true, "retained": true}

// counted is what a count is of, as people say it: "public IP", and "VM", "allocated". A device
// has its own name, as it is.
func counted(dimension string) (what, state string) {
	plain, device := Dimension{Name: dimension}.Plain()
	if device != "" {
		return device, ""
	}
	words := strings.Split(plain.Name, "_")
	if last := len(words) - 1; last > 0 && states[words[last]] {
		words, state = words[:last], " "+words[last]
	}
	for i, word := range words {
		words[i] = cmp.Or(abbreviations[word], word)
	}
	return strings.Join(words, " "), state
}

// SpokenHours is HourUnit as people say it: of a count "public IP-hours", "VM-hours allocated".
func (u Unit) SpokenHours(dimension string) string {
	if u != Count {
		return u.HourUnit(dimension)
	}
	what, state := counted(dimension)
	return what + "-hours" + state
}

// spokenLevel is so many of what is counted: "2 public IPs", "1 VM allocated".
func spokenLevel(quantity, dimension string) string {
	what, state := counted(dimension)
	if quantity != "1" && !strings.HasSuffix(what, "s") && !strings.Contains(what, "/") {
		what += "s"
	}
	return quantity + " " + what + state
}
