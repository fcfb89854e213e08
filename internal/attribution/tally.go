package attribution

// tally counts members by deployment. Members without one do not count. Nearly
// always all have the same: that one is kept in place, without a map.
type tally struct {
	first  string
	count  int32
	others map[string]int32
}

// add counts a member, and tells whether it is the first of its deployment.
func (t *tally) add(name string) bool {
	switch {
	case name == "":
		return false
	case name == t.first && t.count > 0:
		t.count++
		return false
	case t.count == 0 && t.others[name] == 0:
		t.first, t.count = name, 1
		return true
	}
	if t.others == nil {
		t.others = map[string]int32{}
	}
	t.others[name]++
	return t.others[name] == 1
}

// drop undoes an add, and tells whether it was the last of its deployment.
func (t *tally) drop(name string) bool {
	switch {
	case name == "":
		return false
	case name == t.first && t.count > 0:
		t.count--
		if t.count > 0 {
			return false
		}
	default:
		t.others[name]--
		if t.others[name] > 0 {
			return false
		}
		delete(t.others, name)
	}
	t.settle()
	return true
}

// settle brings the last deployment that is left back into place, and lets go of
// the map: one that was large stays large, and slow to range over.
func (t *tally) settle() {
	if t.count > 0 && len(t.others) > 0 || len(t.others) > 1 {
		return
	}
	if t.count == 0 {
		t.first = ""
		for name, count := range t.others {
			t.first, t.count = name, count
		}
		t.others = nil
	}
	if len(t.others) == 0 {
		t.others = nil
	}
}

// verdict is the one deployment that is counted, "" when there is none; many
// tells that there are more.
func (t *tally) verdict() (name string, many bool) {
	if len(t.others) > 0 {
		return "", true
	}
	return t.first, false
}

// each calls do with every deployment that is counted, in no particular order.
func (t *tally) each(do func(name string)) {
	if t.count > 0 {
		do(t.first)
	}
	for name := range t.others {
		do(name)
	}
}
