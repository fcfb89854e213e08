package ledger

// index has objects by UID. Those that several meters read are chained.
type index map[string]*object

func (x index) find(m *Meter, uid string) *object {
	at := x[uid]
	for at != nil && at.meter != m {
		at = at.next
	}
	return at
}

func (x index) add(at *object) {
	at.next = x[at.uid]
	x[at.uid] = at
}

func (x index) remove(at *object) {
	switch first := x[at.uid]; {
	case first != at:
		for first.next != at {
			first = first.next
		}
		first.next = at.next
	case at.next != nil:
		x[at.uid] = at.next
	default:
		delete(x, at.uid)
	}
	at.next = nil
}

// others calls visit with what other meters know of the object.
func (l *Ledger) others(at *object, visit func(*object)) {
	l.recall(at.uid)
	for _, x := range []index{l.objects, l.past.index} {
		for other := x[at.uid]; other != nil; other = other.next {
			if other != at {
				visit(other)
			}
		}
	}
}
